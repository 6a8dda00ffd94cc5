"""Every example of a source once: metrics, views, predictions."""
