"""Connections to each kind of database, and what each does in its own way."""
