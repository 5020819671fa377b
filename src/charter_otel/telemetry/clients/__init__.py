"""Clients for robots, to copy: the robots' page says what they do."""
