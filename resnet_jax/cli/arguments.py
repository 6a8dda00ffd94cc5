"""Command-line arguments into dataclasses: an option for each field, with its help; one line for a mistake."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from resnet_jax.cli.messages import fail, option_of
from resnet_jax.cli.suggestions import unknown_option
from resnet_jax.cli.values import SWITCH, Convert, Store, Value, is_number, is_switch_value, value_of

PATHS = (
    "PATH",
    "RUN",
    "WEIGHTS",
    "WEIGHTS ...",
    "IMAGE ...",
    "INPUT ...",
    "OUT",
    "NAME|PATH",
)  # metavariables of paths
Kind = TypeVar("Kind", bound=Any)


@dataclass(frozen=True)
class Option:
    """An option or an argument without a flag."""

    name: str  # dotted name of the field
    value: Value
    help: str | None  # None: accepted and not shown
    default: Any = None
    group: tuple[str, str] | None = None  # heading and description
    positional: bool = False
    optional: bool = True


def fill(default: Kind, values: Mapping[str, Any]) -> Kind:
    """A copy of `default` with these values of fields, by dotted names: {"optim.peak_lr": 0.2}."""
    direct: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, _, rest = name.partition(".")
        if rest:
            groups.setdefault(group, {})[rest] = value
        else:
            direct[name] = value
    direct |= {group: fill(getattr(default, group), inner) for group, inner in groups.items()}
    return replace(default, **direct)


def make_parser(
    kind: type,
    *,
    prog: str,
    description: str,
    defaults: Any = None,
    hidden: Iterable[str] = (),
    only: Sequence[str] | None = None,
    config: str | None = None,
) -> Parser:
    """A parser with an option for each field of the dataclass `kind`, and for those of the dataclasses in it.

    Args:
      defaults: an instance, or None: values that the help shows; the parser itself returns only what is typed.
      hidden: dotted names, or groups, of fields that are accepted and not shown.
      only: dotted names of the fields to show, in this order and without headings; None: all.
      config: description of an option --config; None: it has none.
    """
    parser = Parser(prog, description)
    words = [prog, "[options]"]
    if config is not None:
        parser.add(Option("config", Value("FILE", convert=str), config))
    options = _options(kind, "", defaults)
    if only is not None:
        hidden = [*hidden, *(option.name for option in options if option.name not in only)]
        places = {name: place for place, name in enumerate(only)}
        options = [replace(one, group=None) for one in sorted(options, key=lambda one: places.get(one.name, 0))]
    for option in options:
        shown = not any(option.name == name or option.name.startswith(f"{name}.") for name in hidden)
        parser.add(option if shown else replace(option, help=None))
        words += [str(option.value.metavar)] if option.positional else []
    parser.usage = " ".join(words)
    return parser


def completion(parsers: Mapping[str, Parser], shell: str) -> str:
    """A script that completes commands and options in a shell: bash, zsh or tcsh."""
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:
        fail(f"--print-completion: expected {' or '.join(shtab.SUPPORTED_SHELLS)}, got {shell!r}")
    whole = argparse.ArgumentParser(prog="resnet-jax")
    commands = whole.add_subparsers()
    for name, parser in parsers.items():
        commands.add_parser(name, help=str(parser.description).partition("\n")[0])
        commands.choices[name] = parser
        for action in parser._actions:
            if isinstance(action.type, Convert) and get_origin(action.type.hint) is Literal:
                action.choices = [str(choice) for choice in get_args(action.type.hint)]
            elif action.metavar in PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(whole, shell)


class Parser(argparse.ArgumentParser):
    """`argparse` without abbreviations, with messages of one line; its result holds typed values alone."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=_Formatter,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._positionals.title = "arguments"
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e-3 and -1,-2 are values too
        self.options: dict[str, Option] = {}  # by flag
        self._lists: list[str] = []  # arguments without a flag that may be none
        self._named_groups: dict[str, argparse._ArgumentGroup] = {}

    def add(self, option: Option) -> None:
        """Adds an option under its group's heading."""
        place: Any = self
        if option.group and option.help is not None:  # a group of hidden options has no heading
            title, text = option.group
            if title not in self._named_groups:
                self._named_groups[title] = self.add_argument_group(title, text)
            place = self._named_groups[title]
        value, shown = option.value, argparse.SUPPRESS if option.help is None else option.help
        if option.positional:
            nargs = value.nargs or ("?" if option.optional else None)
            if value.nargs:
                self._lists.append(option.name)
            place.add_argument(
                option.name, nargs=nargs, metavar=value.metavar, type=value.convert, action=Store, help=shown
            )
            return
        flag = option_of(option.name)
        self.options[flag] = option
        if value.convert is None:  # a switch: the flag that changes its default is shown, the other is accepted
            group, dot, last = flag.rpartition(".")
            off = f"{group}.no-{last}" if dot else f"--no-{last.removeprefix('--')}"
            self.options[off] = option
            pair = ((flag, True), (off, False))
            if option.default is True and option.help is not None:
                shown = f"without {shown}"
            for one, const in reversed(pair) if option.default is True else pair:
                place.add_argument(one, dest=option.name, action="store_const", const=const, help=shown)
                shown = argparse.SUPPRESS
            return
        place.add_argument(
            flag,
            dest=option.name,
            nargs=value.nargs,
            metavar=value.metavar,
            type=value.convert,
            action=Store,
            help=shown,
        )

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        flag, _, rest = message.partition(": ")
        if flag in self.options and rest.startswith("expected") and rest.endswith(("argument", "arguments")):
            message = f"{flag}: expected {self.options[flag].value.metavar}, got nothing"
        elif flag == "unrecognized arguments":
            message = f"unexpected argument {rest!r}; see {self.prog} --help"
        elif flag.startswith("{"):  # choices of an argument without a flag
            message = rest
        elif flag == "the following arguments are required":
            message = f"expected {rest}, got nothing; see {self.prog} --help"
        fail(message)

    def format_usage(self) -> str:
        return f"usage: {self.usage}\n"

    def values(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Typed values, by dotted names of fields. Exits with status 2 and one line for a mistake.

        Paths have the home folder in place of ~, except those of a config's groups, which are expanded when used.
        """
        values = {name: () for name in self._lists} | vars(self.parse_intermixed_args(self._as_flags(arguments)))
        for action in self._actions:
            if action.metavar in PATHS and "." not in action.dest and action.dest in values:
                value = values[action.dest]
                values[action.dest] = tuple(map(_home, value)) if isinstance(value, tuple) else _home(value)
        return values

    def _as_flags(self, arguments: Sequence[str]) -> list[str]:
        """Flags as they are declared: hyphens for underscores, and a value after a switch put into its flag."""
        result: list[str] = []
        unknown: list[str] = []
        words = list(arguments)
        while words:
            argument = words.pop(0)
            if argument == "--":
                result += ["--", *words]
                break
            flag, equals, value = argument.partition("=")
            if not argument.startswith("-") or argument == "-" or is_number(argument):
                result.append(argument)
                continue
            name = flag.rstrip("_").replace("_", "-")
            if flag in ("-h", "--help"):
                result.append(flag)
                continue
            option = self.options.get(name)
            if option is None:
                unknown.append(self._unknown(flag, name))
                continue
            if option.value.convert is not None:
                result.append(name + equals + value)
                continue
            if not equals and words and is_switch_value(words[0], dotted="." in name):
                equals, value = "=", words.pop(0)
            result.append(self._switch(option, name, value) if equals else name)
        if unknown:
            fail("; ".join(dict.fromkeys(unknown)).replace("?; no", "? no"))
        return result

    def _switch(self, option: Option, name: str, value: str) -> str:
        """The flag of a switch with a value: --log.no-tensorboard for --log.tensorboard off."""
        if value.casefold() not in SWITCH:
            fail(f"{name}: expected nothing, true or false, got {value!r}")
        is_off = name not in self._positive()
        return self._flag_of(option, SWITCH[value.casefold()] != is_off)

    def unknown(self, flag: str) -> str | None:
        """The error for a flag that is not an option; None: it is one."""
        name = flag.partition("=")[0]
        known = name.rstrip("_").replace("_", "-")
        return None if known in self.options else self._unknown(name, known)

    def _unknown(self, flag: str, name: str) -> str:
        shown = [known for known, option in self.options.items() if option.help is not None]
        return unknown_option(flag, name, shown, self.prog)

    def _positive(self) -> set[str]:
        return {self._flag_of(option, True) for option in self.options.values() if option.value.convert is None}

    def _flag_of(self, option: Option, on: bool) -> str:
        return next(
            flag
            for action in self._actions
            if action.dest == option.name and getattr(action, "const", None) is on
            for flag in action.option_strings
        )


class _Formatter(argparse.HelpFormatter):
    """Formats help with unchanged metavariables and paragraphs, in at most 120 columns."""

    def __init__(self, prog: str) -> None:
        width = max(60, min(shutil.get_terminal_size().columns, 120))
        super().__init__(prog, max_help_position=34 if width > 100 else 26, width=width)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return str(action.metavar or default_metavar)

    def _metavar_formatter(self, action: argparse.Action, default_metavar: str) -> Callable[[int], tuple[str, ...]]:
        return lambda size: (str(action.metavar or default_metavar),) * size

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs are filled; a table, whose lines begin with spaces, stays."""
        parts = text.split("\n\n")
        fill = super()._fill_text
        return "\n\n".join(part if part.startswith(" ") else fill(part, width, indent) for part in parts)


def _home(path: str | None) -> str | None:
    return os.path.expanduser(path) if path is not None else path  # addresses keep //, and texts all that they have


def _options(kind: type, prefix: str, defaults: Any, group: tuple[str, str] | None = None) -> list[Option]:
    """The fields of the dataclass itself first, then those of the groups in it."""
    hints = get_type_hints(kind, include_extras=True)
    options, inner = [], []
    for field in fields(kind):
        hint, name = hints[field.name], prefix + field.name
        if isinstance(hint, type) and is_dataclass(hint):
            heading = (name, " ".join((hint.__doc__ or "").split()))
            inner += _options(hint, f"{name}.", getattr(defaults, field.name, None), heading)
            continue
        has_default = field.default is not MISSING
        default = getattr(defaults, field.name, field.default if has_default else None)
        is_positional = field.metadata.get("positional", False)
        value = value_of(hint, field.name)
        options.append(Option(name, value, _help(field, default), default, group, is_positional, has_default))
    return options + inner


def _help(field: Field[Any], default: Any) -> str:
    """The field's help and its default; for None, what None stands for."""
    if default is None:
        shown = field.metadata["none"]
    elif isinstance(default, bool):
        shown = "on" if default else ""
    elif isinstance(default, tuple):
        shown = " ".join(map(str, default))
    else:
        shown = str(default)
    text = field.metadata["help"] + (f" (default: {shown})" if shown else "")
    return text.replace("%", "%%")
