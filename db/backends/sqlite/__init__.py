"""SQLite: read-only files, tables made from arrays, and what a user's own SQL may do."""
