"""Command-line arguments into dataclasses: an option for each field, described by its comment; one line an error."""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import inspect
import io
import math
import re
import shutil
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from resnet_jax.errors import did_you_mean, one_of
from resnet_jax.files import expanded

PATHS = ("PATH", "RUN", "RUN ...", "IMAGE ...", "NAME|PATH")  # metavariables of paths
Kind = TypeVar("Kind", bound=Any)
WITHOUT_COMMAS = ("NORM",)  # what a list's values are called that never have commas
Positional = Annotated[Kind, "positional"]  # a field that is an argument without a flag
SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

# Options of other trainers (timm, Keras, Ultralytics, fastai): our flags, of which the first that a command has is
# named; or a sentence. The last component of a flag of ours (--epochs) needs no row.
OTHERS = {
    "lr lr0 learning-rate base-lr": "--optim.peak-lr",
    "min-lr lrf": "--optim.final-lr",
    "sched scheduler lr-scheduler": "--optim.schedule",
    "cos-lr": "--optim.schedule cosine",
    "decay-milestones milestones": "--optim.decay-epochs",
    "decay-rate": "--optim.decay-factor",
    "opt optim": "--optim.optimizer",
    "wd": "--optim.weight-decay",
    "smoothing": "--optim.label-smoothing",
    "clip-grad clipnorm": "--optim.clip-norm",
    "grad-accum grad-accum-steps accumulation-steps": "--optim.accumulate",
    "warmup": "--optim.warmup-epochs",
    "ema model-ema model-ema-decay": "--optim.ema-decay",
    "b bs batch batch-size": "--data.batch-size|--data.eval-batch-size|--batch-size",
    "val-batch-size validation-batch-size": "--data.eval-batch-size",
    "e n-epochs max-epochs num-epochs": "--train.epochs",
    "max-steps": "--train.steps|--train.epochs",
    "early-stopping": "--train.patience",
    "j workers num-workers nproc": "--data.threads",
    "data data-path data-dir train-dir": "--data.path|the data is an argument without a flag",
    "dataset": "--data.name|--data.path|the data is an argument without a flag",
    "imgsz img-size input-size size": "--data.image-size|--image-size",
    "in-chans": "--data.channels",
    "val-split validation-split": "--data.train-split 'train[:80%]' --data.test-split 'train[80%:]'|--split",
    "class-map": "--data.class-names",
    "hflip fliplr": "--data.horizontal-flip",
    "scale": "--data.crop-area",
    "aa auto-augment": "there is no automatic augmentation; see --data.color-jitter, --data.mixup and --data.cutmix",
    "train-interpolation": "--data.interpolation",
    "reprob": "--data.cutout",
    "m model arch net": "--model.name|the net is an argument without a flag",
    "drop dropout": "--model.drop-rate",
    "sync-bn": "--model.bn-axis data",
    "grad-checkpointing": "--model.remat block",
    "amp amp-dtype fp16 bf16 half": "--model.dtype bfloat16",
    "precision": "--model.dtype",
    "pretrained weights finetune initial-checkpoint checkpoint": "--init.from",
    "o out output output-dir out-dir logdir log-dir save-dir project name": "--workdir|--out",
    "c cfg": "--config",
    "resume exist-ok": "the same command on the same --workdir resumes: leave it out",
    "save-period": "--train.eval-every-epochs",
    "checkpoint-hist": "--checkpoint.keep-latest",
    "log-interval": "--train.log-every-steps",
    "q quiet silent verbose": "--train.log-every-steps|its output can go into a file: > FILE",
    "log-wandb use-wandb": "--log.wandb online",
    "topk": "--top",
    "tta augment": "--protocol",
    "num-classes nc": "the classes are the data's: leave it out",
    "device": "JAX takes the devices it finds; the environment's JAX_PLATFORMS=cpu or cuda chooses",
    "gpu gpus devices": "JAX takes the devices it finds; the environment's CUDA_VISIBLE_DEVICES=0,1 chooses",
}


def fail(message: str) -> NoReturn:
    """Prints one line of error and exits with status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def fill(default: Kind, values: Mapping[str, Any]) -> Kind:
    """`default` with these values of its fields, by dotted names: {"optim.peak_lr": 0.2}."""
    own: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, _, rest = name.partition(".")
        if rest:
            groups.setdefault(group, {})[rest] = value
        else:
            own[name] = value
    own |= {group: fill(getattr(default, group), inner) for group, inner in groups.items()}
    return replace(default, **own)


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
        commands.add_parser(name, help=parser.description)
        commands.choices[name] = parser
        for action in parser._actions:
            if isinstance(action.type, _Convert) and get_origin(action.type.hint) is Literal:
                action.choices = [str(choice) for choice in get_args(action.type.hint)]
            elif action.metavar in PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(whole, shell)


class Parser(argparse.ArgumentParser):
    """`argparse` without abbreviations, with our messages, and with what is typed alone in its result."""

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
        if option.group:
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
                option.name, nargs=nargs, metavar=value.metavar, type=value.convert, action=_Store, help=shown
            )
            return
        flag = "--" + option.name.rstrip("_").replace("_", "-").replace("_.", ".")
        self.options[flag] = option
        if value.convert is None:  # a switch: the flag that changes its default is shown, the other is accepted
            group, dot, last = flag.rpartition(".")
            off = f"{group}.no-{last}" if dot else f"--no-{last.removeprefix('--')}"
            self.options[off] = option
            pair = ((flag, True), (off, False))
            if option.default is True and option.help is not None:
                shown = f"turn off: {shown}"
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
            action=_Store,
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
        """What is typed, by dotted names of fields. Exits with status 2 and one line for a mistake.

        Paths have the home folder in place of ~, but for those of a config's groups: they are expanded when used.
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
        left = list(arguments)
        while left:
            argument = left.pop(0)
            if argument == "--":
                result += ["--", *left]
                break
            flag, equals, value = argument.partition("=")
            if not argument.startswith("-") or argument == "-" or _is_number(argument):
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
            if not equals and left and _is_switch_value(left[0], dotted="." in name):
                equals, value = "=", left.pop(0)
            if equals:
                if value.casefold() not in SWITCH:
                    fail(f"{name}: expected nothing, true or false, got {value!r}")
                head, no, last = name.partition("no-") if name not in self._positive() else (name, "", "")
                on = SWITCH[value.casefold()] != bool(no)
                name = self._flag_of(option, on)
            result.append(name)
        if unknown:
            fail("; ".join(dict.fromkeys(unknown)).replace("?; no", "? no"))
        return result

    def misspelt(self, flag: str) -> str | None:
        """What to say of a flag that is no option; None: it is one."""
        name = flag.partition("=")[0]
        known = name.rstrip("_").replace("_", "-")
        return None if known in self.options else self._unknown(name, known)

    def _positive(self) -> set[str]:
        return {self._flag_of(option, True) for option in self.options.values() if option.value.convert is None}

    def _flag_of(self, option: Option, on: bool) -> str:
        return next(
            flag
            for action in self._actions
            if action.dest == option.name and getattr(action, "const", None) is on
            for flag in action.option_strings
        )

    def _unknown(self, flag: str, name: str) -> str:
        """An error for an option that is not there: ours of the same meaning, of the same name, or the nearest."""
        shown = [known for known, option in self.options.items() if option.help is not None]
        if same := [known for known in shown if known.casefold() == name.casefold()]:
            return f"no option {flag}; did you mean {same[0]}?"
        group, dot, last = name.removeprefix("--no-").rpartition(".")
        if name.startswith("--no-") and dot and (off := f"--{group}.no-{last}") in self.options:
            return f"no option {flag}; did you mean {off}?"
        last = name.lstrip("-").rpartition(".")[2].casefold()
        typo = difflib.get_close_matches(name, shown, n=1, cutoff=0.85) if "." in name else []
        if typo and typo[0].rpartition(".")[2] == last:
            return f"no option {flag}; did you mean {typo[0]}?"
        row = next((ours for words, ours in OTHERS.items() if last in words.split()), "")
        for ours in row.split("|"):
            if ours.partition(" ")[0] in shown:
                return f"no option {flag}; did you mean {ours}?"
        same = [known for known in shown if known.lstrip("-").rpartition(".")[2] == last]
        if same:
            return f"no option {flag}; did you mean {' or '.join(same)}?"
        if ours and not ours.startswith("--"):
            return f"no option {flag}; {ours}"
        by_last = {known.lstrip("-").rpartition(".")[2]: known for known in shown}
        if "." not in name and (close := difflib.get_close_matches(last, by_last, n=3)):
            return f"no option {flag}; did you mean {one_of(by_last[word] for word in close)}?"
        return f"no option {flag}; {did_you_mean(name, shown, f'see {self.prog} --help')}"


class _Formatter(argparse.HelpFormatter):
    """Metavariables as they are, paragraphs kept, at most 120 columns."""

    def __init__(self, prog: str) -> None:
        width = max(60, min(shutil.get_terminal_size().columns, 120))
        super().__init__(prog, max_help_position=34 if width > 100 else 26, width=width)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return str(action.metavar or default_metavar)

    def _metavar_formatter(self, action: argparse.Action, default_metavar: str) -> Callable[[int], tuple[str, ...]]:
        return lambda size: (str(action.metavar or default_metavar),) * size

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [super(_Formatter, self)._fill_text(part, width, indent) for part in text.split("\n\n")]
        return "\n\n".join(paragraphs)


def _home(path: str | None) -> str | None:
    return str(expanded(path)) if path is not None and path.startswith("~") else path  # web addresses keep //


def _is_switch_value(word: str, *, dotted: bool) -> bool:
    """Whether a word after a switch is its value; a bare 0 or 1 may be an argument of commands that take numbers."""
    return word.casefold() in SWITCH and (dotted or not word.isdecimal())


def _is_number(word: str) -> bool:
    try:
        float(word.rstrip(",").split(",")[0])
    except ValueError:
        return False
    return True


class _Store(argparse.Action):
    """Stores a value, or the values of a list, which may be typed with commas between them."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        convert: Any = self.type
        if isinstance(convert, _Convert) and convert.is_list:
            values = convert.join([part for value in values for part in value], option_string)
        setattr(namespace, self.dest, values)


@dataclass(frozen=True)
class Value:
    """How an option's value is typed."""

    metavar: str | None = None
    nargs: str | None = None
    convert: Callable[[str], Any] | None = None  # None: a switch


@dataclass(frozen=True)
class Option:
    """An option or an argument without a flag."""

    name: str  # dotted name of the field
    value: Value
    help: str | None  # None: accepted and not shown
    default: Any = None
    group: tuple[str, str] | None = None  # heading and what it says
    positional: bool = False
    optional: bool = True


def _options(kind: type, prefix: str, defaults: Any, group: tuple[str, str] | None = None) -> list[Option]:
    """The dataclass's own fields first, then the groups in it."""
    hints, comments = get_type_hints(kind, include_extras=True), _comments(kind)
    own, inner = [], []
    for field in fields(kind):
        hint, name = hints[field.name], prefix + field.name
        if isinstance(hint, type) and is_dataclass(hint):
            heading = (name, " ".join((hint.__doc__ or "").split()))
            inner += _options(hint, f"{name}.", getattr(defaults, field.name, None), heading)
            continue
        default = getattr(defaults, field.name, _default(field))
        positional = "positional" in getattr(hint, "__metadata__", ())
        text = _description(comments[field.name], default)
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        own.append(Option(name, _value(hint, field.name), text, default, group, positional, has_default))
    return own + inner


def _default(field: Field[Any]) -> Any:
    return field.default if field.default is not MISSING else None


def _description(comment: str, default: Any) -> str:
    """The field's comment and its default; for None, what the comment says of it: "...; None: the net's own"."""
    parts = [part.strip() for part in comment.split(";")]
    of_none = next((part for part in parts if part.startswith("None: ")), "")
    text = "; ".join(part for part in parts if part != of_none)
    if default is None:
        shown = of_none.removeprefix("None: ")
    elif isinstance(default, bool):
        shown = "on" if default else ""
    elif isinstance(default, tuple):
        shown = " ".join(map(str, default))
    else:
        shown = str(default)
    return f"{text} (default: {shown})".strip().replace("%", "%%") if shown else text.replace("%", "%%")


@functools.cache
def _comments(kind: type) -> dict[str, str]:
    """The comment behind each field of a dataclass."""
    source = textwrap.dedent(inspect.getsource(kind))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (body,) = ast.parse(source).body
    return {
        node.target.id: " ".join(
            comments[line] for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line in comments
        )
        for node in getattr(body, "body", ())
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _value(hint: Any, name: str) -> Value:
    """How a field of this type is typed; a list has spaces or commas between its values."""
    metavar: str | None = None
    optional = False
    words: tuple[str, ...] = ()
    while True:
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
            metavar = next((mark for mark in marks if mark != "positional"), metavar)
        elif get_origin(hint) in (Union, UnionType):
            optional = True
            either = [kind for kind in get_args(hint) if kind is not NoneType]
            if len(either) > 1:  # a word, or a list
                words = tuple(word for kind in either if get_origin(kind) is Literal for word in get_args(kind))
            (hint,) = (kind for kind in either if len(either) == 1 or get_origin(kind) is not Literal)
        else:
            break
    if hint is bool:
        return Value()
    count = None
    is_list = get_origin(hint) is tuple
    if is_list:
        kinds = get_args(hint)
        count = None if kinds[-1] is Ellipsis else len(kinds)
        hint = kinds[0]
        if get_origin(hint) is Annotated:
            hint, metavar = get_args(hint)
    if get_origin(hint) is Literal:
        metavar = "{" + ",".join(map(str, get_args(hint))) + "}"
    one = metavar or {int: "INT", float: "FLOAT"}.get(hint, name.rstrip("_").rpartition("_")[2].upper())
    if is_list and hint is str and metavar is None:
        one = one.removesuffix("ES" if one.endswith("SES") else "S")
    shown = one if not is_list else f"{one} ..." if count is None else " ".join([one] * count)
    if count is not None and metavar is not None:  # it names each value
        shown = metavar
    convert = _Convert(hint, one, optional, is_list, count, words)
    return Value("|".join([*words, shown]), "*" if is_list else None, convert)


@dataclass(frozen=True)
class _Convert:
    """From text to a value of a type. Raises ArgumentTypeError with what is expected."""

    hint: Any
    metavar: str
    optional: bool
    is_list: bool
    count: int | None
    words: tuple[str, ...] = ()  # one of which may stand in the place of a list

    def __call__(self, text: str) -> Any:
        if not self.is_list:
            return None if self.optional and text in ("None", "none") else self._one(text)
        if self.optional and text in ("None", "none"):
            return (None,)
        if (self.hint is str and self.metavar not in WITHOUT_COMMAS) or text in self.words:  # names may have commas
            return (text,)
        if "=" in text and self.hint is not str:  # CLASS=1,CLASS=2: names may have commas
            return tuple(self._one(part.strip()) for part in re.split(r"(?<=[\d.]),", text))
        return tuple(self._one(part.strip()) for part in text.strip("()[]").split(",") if part.strip())

    def join(self, values: list[Any], flag: str | None) -> tuple[Any, ...] | str | None:
        """The values of a list."""
        if values == [None]:
            return None
        if len(values) == 1 and values[0] in self.words:
            return values[0]
        mixed = any(value is None or value in self.words for value in values)
        if mixed or (self.count is not None and len(values) != self.count):
            expected = f"{self.count} values" if self.count else "|".join([*self.words, f"{self.metavar} ..."])
            if self.count and " " in self.metavar:
                expected += f", {self.metavar}"
            fail(f"{flag}: expected {expected}, got {' '.join(map(str, values)) or 'nothing'}")
        return tuple(values)

    def _one(self, text: str) -> Any:
        if get_origin(self.hint) is Literal:
            for choice in get_args(self.hint):
                if text == str(choice):
                    return choice
            choices = [str(choice) for choice in get_args(self.hint)]
            close = did_you_mean(text, choices, "")
            hint = "" if close.startswith("expected") else f"; {close}"
            raise argparse.ArgumentTypeError(f"expected {' or '.join(choices)}, got {text!r}{hint}")
        if self.hint is int:
            return _whole(text)
        is_named = get_origin(self.hint) in (Union, UnionType)  # a number, or NAME=NUMBER
        if self.hint is float or is_named:
            if is_named and "=" in text:
                return text
            try:
                return float(text)
            except ValueError:
                expected = " or ".join(
                    [*self.words, "a number", *([self.metavar.rpartition("|")[2]] if is_named else [])]
                )
                raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None
        return text


def _whole(text: str) -> int:
    """A whole number; 64.0 and 1e2 are some too."""
    try:
        return int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
    if not number.is_integer():  # nor is one that is not finite
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(number)
