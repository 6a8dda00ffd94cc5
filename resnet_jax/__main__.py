"""python -m resnet_jax COMMAND: the command `resnet-jax`."""

from resnet_jax.cli.main import main

if __name__ == "__main__":
    main()
