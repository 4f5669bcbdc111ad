"""What is possible: layer shapes, formulas, rank lines. Knows no database and no training."""
