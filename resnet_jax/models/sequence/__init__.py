"""What nets of series, audio and text need beside the components of images."""
