"""The web explorer: live pages over a database, read only. Needs the extra ``web``."""
