"""Pages during outages of ten minutes, on real servers: `make outages`."""
