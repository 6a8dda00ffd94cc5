"""Loaders: examples of a data source, decoded and served in batches."""
