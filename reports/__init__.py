"""Looking at it: figures and the HTML report."""
