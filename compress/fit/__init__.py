"""Fitting factors to data in closed form, and the statistics for it."""
