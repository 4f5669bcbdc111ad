"""What the command line shows: tables, summaries, progress."""
