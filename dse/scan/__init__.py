"""Exhaustive scans, which visit every configuration."""
