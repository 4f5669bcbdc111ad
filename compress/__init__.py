"""The compression engine: factorization, factor layers, model surgery, similarity, rank search and fine-tuning."""
