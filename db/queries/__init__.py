"""Queries about configurations, answered from rank lines."""
