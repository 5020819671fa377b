"""What is paged while something is away for ten minutes, on real servers: `make outages`."""
