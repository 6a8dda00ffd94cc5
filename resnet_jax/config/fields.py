"""How a field of a config or a command is declared: its default, its help, its valid values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any

Place = Annotated[str, "PATH"]  # the command line's name of the value
# Upper limits: what no machine can hold, or what float32 cannot represent, fails here instead of late or silently.
LARGEST = 10**9  # of numbers without a unit
IMAGES = 10**6  # at a time
SIDE = 2**14  # pixels


@dataclass(frozen=True)
class Valid:
    """The valid values of a field."""

    holds: Callable[[Any], object]  # of a value of the field's type; truth counts
    expected: str  # in a message: "expected at least 1, got 0"


def option(default: Any, help: str, valid: Valid | None = None, *, none: str = "") -> Any:
    """A dataclass field with a default; `none` says what None stands for, in place of a default in the help."""
    return field(default=default, metadata={"help": help, "valid": valid, "none": none})


def argument(help: str, default: Any = MISSING, *, none: str = "") -> Any:
    """A field of a command that is an argument without a flag; required unless it has a default."""
    metadata = {"help": help, "valid": None, "none": none, "positional": True}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def between(least: float, most: float) -> Valid:
    return Valid(lambda value: least <= value <= most, f"at least {least:,}, at most {most:,}")


def _is_address(host: str, colon: str, port: str) -> bool:
    return bool(host and colon and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16)


def _are_class_weights(values: tuple[float | str, ...]) -> bool:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values):
        return any(numbers) and all(map(_is_class_weight, numbers))
    try:
        return not numbers and all(_is_class_weight(class_weight(str(value))[1]) for value in values)
    except ValueError:
        return False


def _is_class_weight(value: float) -> bool:
    return value == 0 or 1e-9 <= value <= 1e9  # float32 has these, and their products with a loss


def class_weight(text: str) -> tuple[str, float]:
    """ "cat=2" as ("cat", 2.0). Raises ValueError for another text."""
    name, _, weight = text.rpartition("=")
    return name, float(weight)


FRAME = Valid(lambda value: 0.001 <= value <= 1, "at least 0.001 and at most 1 second")
SHIFT = Valid(lambda value: 0 <= value <= 3600, "at least 0 and at most 3,600 seconds")
DECIBELS = Valid(lambda value: -200 <= value[0] <= value[1] <= 200, "two ratios of -200 to 200 decibels, as 0 20")
PROBABILITY = Valid(lambda value: 0 <= value <= 1, "a number in [0, 1]")
MASKS = Valid(
    lambda value: min(value) >= 0 and value[0] <= 100 and value[1] <= 10**6 and bool(value[0]) == bool(value[1]),
    "a number of masks, at most 100, and their greatest width, as 2 27; or 0 0",
)
POSITIVE = Valid(lambda value: 0 < value <= LARGEST, f"more than 0, at most {LARGEST:,}")
COUNT = between(1, LARGEST)
NOT_NEGATIVE = between(0, LARGEST)
SHARE = Valid(lambda value: 0 <= value < 1, "a number in [0, 1)")
DECAY = Valid(lambda value: 0 < value < 1, "a number between 0 and 1")
FACTOR = Valid(lambda value: 0 < value <= 1, "a number above 0, at most 1")
RATE = Valid(lambda value: 0 < value <= 1e30, "more than 0, at most 1e30")
BETA = between(0, 1000)
BATCH = between(1, IMAGES)
PIXELS = between(1, SIDE)
BORDER = between(0, SIDE)
THREADS = between(1, 1024)
BEAMS = between(1, 1000)
FACTORS = Valid(lambda value: 1 <= value <= 1e6, "at least 1, at most 1e6")
SEED = Valid(lambda value: 0 <= value < 2**63, "at least 0 and less than 2**63")
SECONDS = Valid(lambda value: 1 <= value <= 86_400, "at least 1 and at most a day, 86,400")
ADDRESS = Valid(lambda value: _is_address(*value.rpartition(":")), "HOST:PORT, with a port up to 65535")
CLASSES = Valid(lambda value: len(value) > 0, "one class or more")
DEVIATIONS = Valid(
    lambda value: value and min(value) > 0, "standard deviations of values in [0, 1], as 0.229 0.224 0.225"
)
AREA = Valid(lambda value: 0 < value[0] <= value[1] <= 1, "two shares of the image, as 0.08 1.0")
SCALES = Valid(lambda value: 0.01 <= value[0] <= value[1] <= 100, "two factors of 0.01 to 100, as 0.5 2.0")
JITTER = Valid(
    lambda value: 0 <= min(value) <= max(value) <= 100 and value[3] <= 0.5,
    "four strengths of at least 0, at most 100, the last (hue) at most 0.5",
)
EPOCHS = Valid(
    lambda value: not value or 0 <= min(value) <= max(value) <= LARGEST, f"epochs of at least 0, at most {LARGEST:,}"
)
CLASS_WEIGHTS = Valid(
    lambda value: value == "balanced" or _are_class_weights(value),
    "balanced, or a number of at least 0 for each class, one more than 0 (1e-9 to 1e9); or CLASS=WEIGHT",
)
