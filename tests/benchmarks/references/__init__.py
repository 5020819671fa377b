"""What the rows are compared with: minimal programs, written for comparison only."""
