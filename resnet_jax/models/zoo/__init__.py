"""Tables of the papers: a file per family, rows of `ModelSpec` by name."""
