"""The composition root: makes one service of the packages below it in the source map."""
