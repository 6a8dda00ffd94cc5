"""python -m resnet_jax COMMAND: the command `resnet-jax`."""

from resnet_jax.cli.huge_pages import use_huge_pages
from resnet_jax.cli.main import main


def program() -> None:
    """The command `resnet-jax` as a program."""
    use_huge_pages()
    main()


if __name__ == "__main__":
    program()
