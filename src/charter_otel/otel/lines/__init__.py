"""The lines on stdout: JSON for a log pipeline, a readable form for a terminal."""
