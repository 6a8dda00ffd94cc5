"""Numbers by themselves."""
