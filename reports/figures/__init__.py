"""Figures: one function each, data frames in, a plotly figure out; none knows the database."""
