"""`make pictures`: the README's pictures, from a real run of the demonstration."""
