"""Exhaustive scans: what only a visit to every configuration can tell."""
