"""The report of a network or run, as one file; its tables and texts."""
