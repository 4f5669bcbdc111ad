"""Baselines for comparison: VBMF ranks and filter pruning, under the same limit on the accuracy drop."""
