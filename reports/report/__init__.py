"""The report of a network or run as one file, with its tables and texts."""
