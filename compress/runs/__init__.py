"""What every run has in common, whatever it makes: its job, settings, record and delivery."""
