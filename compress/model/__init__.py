"""Inspecting and changing a Keras model: surgery, files, feature maps, gradients."""
