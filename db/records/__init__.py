"""Records kept beside the solution spaces: runs with their trials, and error tables."""
