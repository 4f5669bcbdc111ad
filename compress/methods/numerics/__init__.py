"""The linear algebra of the methods."""
