"""References for the rows: minimal programs, written for comparison only."""
