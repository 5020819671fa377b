"""Profiles of the rows that miss their target: `make profile`."""
