"""What Rankline is compared with: VBMF ranks and filter pruning, under the same limit on the accuracy's drop."""
