"""Rankline's own Keras layers, for factors without a stock Keras layer."""
