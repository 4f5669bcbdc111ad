"""From a Keras model, or a string that names one, to layers as numbers."""
