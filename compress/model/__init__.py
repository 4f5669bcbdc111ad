"""A Keras model looked into and changed: surgery, files, feature maps, gradients."""
