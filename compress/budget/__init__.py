"""The best configurations under a budget, without training."""
