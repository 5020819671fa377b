"""What runs inside a worker process, one round at a time."""
