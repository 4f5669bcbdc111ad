"""Writing networks, their layers and solution spaces into the database."""
