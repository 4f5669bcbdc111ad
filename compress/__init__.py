"""Making it real: factorizing weights, factor layers, model surgery, similarity, rank search, fine-tuning."""
