"""Devices: how long operations take on a user's own hardware."""
