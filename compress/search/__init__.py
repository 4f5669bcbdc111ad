"""The published method, which raises ranks from one by feature-map similarity, and its hybrid."""
