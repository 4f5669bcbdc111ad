"""Data to train, choose, calibrate and report on."""
