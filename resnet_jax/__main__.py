"""python -m resnet_jax COMMAND: the command `resnet-jax`."""

import gc
import sys

from resnet_jax.cli.huge_pages import use_huge_pages

# New objects after which Python looks for cycles among them. With its default of 700, a fifth of a start looks for
# cycles in what imports and tracing have made, which stays.
OBJECTS = 50_000


def program(*arguments: str) -> None:
    """The command `resnet-jax` as a program; `arguments` come before those of the user."""
    use_huge_pages()
    gc.set_threshold(OBJECTS)
    from resnet_jax.cli.main import main  # here: a program that starts again imports it once

    main([*arguments, *sys.argv[1:]])


if __name__ == "__main__":
    program()
