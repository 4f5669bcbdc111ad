"""What all runs share: job, settings, record and delivery."""
