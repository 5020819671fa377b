"""Trials that take long, or need a network of their own."""
