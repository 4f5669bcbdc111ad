"""Factors fitted to data in closed form, and the statistics that they are fitted to."""
