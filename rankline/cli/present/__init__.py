"""The output of the command line: tables, summaries and progress."""
