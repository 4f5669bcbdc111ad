"""Figures: one function each, from data frames to a plotly figure, without access to the database."""
