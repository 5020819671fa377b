"""What one instance costs, and what a fleet takes: `make scale`."""
