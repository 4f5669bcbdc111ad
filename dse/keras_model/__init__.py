"""From a Keras model, or what a user names as one, to layers as numbers."""
