"""Fuzzing: `make fuzz SECONDS=600`, coverage-guided; the ordinary tests search a little, too."""
