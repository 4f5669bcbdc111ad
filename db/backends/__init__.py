"""How each kind of database is reached, and what it does in a way of its own."""
