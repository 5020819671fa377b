"""The cost of an instance, and the resources that a fleet takes: `make scale`."""
