"""Command-line arguments into dataclasses, with every mistake told in one line. The only file that imports tyro."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, NoReturn, TypeVar, get_type_hints

import tyro
from tyro.conf import Positional as Positional

from resnet_jax.nearest import nearest

Kind = TypeVar("Kind")


def parse_arguments(
    kind: type[Kind], arguments: Sequence[str], *, default: Kind | None = None, prog: str, description: str
) -> Kind:
    """A `kind` from arguments, with typed options for its fields and those of the dataclasses in it.

    Exits with status 2 and one line for an argument that cannot be; with 0 after --help.
    """
    flags = ["--help", *_flags(kind)]
    arguments = [re.sub(r"^(--[\w.]+\.from)_?(?==|$)", r"\1_", argument) for argument in arguments]
    for argument in arguments:
        flag = argument.partition("=")[0].rstrip("_").replace("_", "-")
        if flag.startswith("--") and flag not in flags:
            fail(f"no option {argument.partition('=')[0].rstrip('_')}; {nearest(flag, flags, 'see --help')}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options: dict[str, Any] = {} if default is None else {"default": default}
            return tyro.cli(kind, args=list(arguments), prog=prog, description=description, **options)
    except SystemExit as exit:
        if exit.code == 0:
            raise
        fail(_one_line(said.getvalue()))


def completion(
    commands: dict[str, Callable[..., Any]], arguments: Sequence[str], *, prog: str, description: str
) -> None:
    """Help over all commands, or tyro's shell completion (--tyro-print-completion bash); then exits."""
    tyro.extras.subcommand_cli_from_dict(commands, args=list(arguments), prog=prog, description=description)


def fail(message: str) -> NoReturn:
    """Says what is wrong in one line and exits with status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def take(arguments: list[str], flag: str) -> str | None:
    """Removes `flag VALUE` or `flag=VALUE` from the arguments and returns the value."""
    value = None
    for i, argument in enumerate(arguments):
        if argument == flag:
            if i + 1 == len(arguments):
                raise ValueError(f"{flag} wants a file")
            value = arguments[i + 1]
            del arguments[i : i + 2]
        elif argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
            del arguments[i]
        else:
            continue
        break
    return value


def _flags(kind: type, prefix: str = "--") -> list[str]:
    """Every flag of a dataclass: --workdir, --optim.peak-lr, --optim.no-nesterov, ..."""
    flags, hints = [], get_type_hints(kind)
    for field in fields(kind):
        name, hint = field.name.rstrip("_").replace("_", "-"), hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            flags += _flags(hint, f"{prefix}{name}.")
        elif field.default is not MISSING or field.default_factory is not MISSING:  # the others are positional
            flags.append(prefix + name)
            if hint is bool:
                flags.append(f"{prefix}no-{name}")
    return flags


def _one_line(box: str) -> str:
    """The message inside the box that tyro draws: what stands above its first rule."""
    lines = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip() for line in box.splitlines()]
    message: list[str] = []
    for line in lines:
        if line.startswith(("╭", "+")) or not line:
            continue
        if line.startswith(("─", "╰")):
            break
        message.append(line)
    return " ".join(message) or box
