"""Deployment: runtimes that run a model's file, and how long operations take in them."""
