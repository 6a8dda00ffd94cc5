"""Encoded images, PIL images and arrays into pixels, as evaluation and training see them."""
