"""What is claimed, as runnable measurements with their last results in ``benchmarks/results``."""
