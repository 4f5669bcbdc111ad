"""Questions about configurations, answered from rank lines."""
