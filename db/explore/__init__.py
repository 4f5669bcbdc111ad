"""Networks, their layers and solution spaces written into the database."""
