"""SQLite: files that are only read, tables made from arrays, and what a user's own SQL may do."""
