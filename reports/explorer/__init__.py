"""The web explorer: a live page over a database that it only reads. Needs the extra ``web``."""
