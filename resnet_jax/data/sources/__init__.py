"""Where examples are stored."""
