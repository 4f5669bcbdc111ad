"""Keras layers of our own, for factors that Keras has no layer for."""
