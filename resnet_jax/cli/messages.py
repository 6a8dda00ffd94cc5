"""Messages of the command line: one line for a mistake, options as they are typed."""

from __future__ import annotations

import sys
from typing import NoReturn

from resnet_jax.config.messages import as_typed as as_typed
from resnet_jax.config.messages import option_of as option_of


def fail(message: str) -> NoReturn:
    """Prints one line of error and exits with status 2."""
    print(f"error: {' '.join(as_typed(message).split())}", file=sys.stderr)
    raise SystemExit(2)
