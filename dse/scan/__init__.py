"""Exhaustive scans: answers that take a visit to every configuration."""
