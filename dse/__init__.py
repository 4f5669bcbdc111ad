"""What is possible: layer shapes, formulas, rank lines. Independent of the database and of training."""
