"""Decoders on the features of a residual net: segmentation and detection."""
