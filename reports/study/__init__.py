"""The analytical tables and figures of the design-space literature, from the formulas and a database."""
