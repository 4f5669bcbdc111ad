"""Models that Keras 2 wrote: their configuration as Keras 3 reads it. JSON to JSON; nothing is run."""
