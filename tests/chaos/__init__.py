"""Faults, and what becomes of every event while they last."""
