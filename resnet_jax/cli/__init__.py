"""The command line: `main` reads the arguments; a file for each command."""

from resnet_jax.moved import moved_names

__getattr__ = moved_names(__name__)
