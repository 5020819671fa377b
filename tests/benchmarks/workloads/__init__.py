"""The work of a worker process, one round at a time."""
