"""The linear algebra below the methods."""
