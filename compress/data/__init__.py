"""Data for training, selection, calibration and reporting."""
