"""Names of our arrays in other libraries, from the name tables of the registry."""

from __future__ import annotations

import re
from functools import cache

from resnet_jax.models import MODELS, ModelSpec
from resnet_jax.models.spec import ModuleName, NameTable

Path = tuple[str, ...]  # ("params", "stem", "conv", "kernel")

# Names of the arrays of one module, by ours.
LEAVES = {"kernel": ".weight", "scale": ".weight", "bias": ".bias", "mean": ".running_mean", "var": ".running_var"}
LEAVES |= {"pos_embed": ""}  # its row has the whole name


OWN = "resnet_jax"  # the layout of our own names: "params/stem/conv/kernel"


class Names:
    """Names of a net's arrays in one library ("timm", "torchvision" or "openai"), or our own."""

    def __init__(self, layout: str, table: NameTable) -> None:
        self.layout, self.table = layout, table

    @property
    def is_own(self) -> bool:
        return self.layout == OWN

    def entry(self, path: Path) -> tuple[str, bool]:
        """Name in their state dict of the array at `path` of our variables, and whether it is a 1x1 convolution there.

        Raises:
          ValueError: the library has no such array.
        """
        if self.is_own:
            return "/".join(path), False
        _, *parents, leaf = path
        module = "/".join(parents)
        for row, pattern in _compiled(self.table.modules):
            if match := pattern.fullmatch(module):
                numbers = match.groupdict()
                from_zero = {"t": int(numbers["s"]) - 1} if "s" in numbers else {}
                name = f"{row.theirs.format(**numbers, **from_zero)}{LEAVES[leaf]}"
                return name, row.is_conv1x1 and leaf == "kernel"
        raise ValueError(f"{self.layout} has no name for {module}")

    def classifier(self) -> tuple[str, str]:
        """Names of the classifier's bias and kernel."""
        bias, kernel = (self.entry(("params", "head", "dense", leaf))[0] for leaf in ("bias", "kernel"))
        return bias, kernel


OWN_NAMES = Names(OWN, NameTable(()))


def names_for(spec: ModelSpec | None) -> list[Names]:
    """Names in every library that has this net. For a net that none has, or without a row: all names there are.

    A library with nets of this kind, but not this one, is skipped: its files would give other numbers.
    """
    tables = list(spec.name_tables.items()) if spec is not None else []
    return [*(Names(layout, table) for layout, table in tables or known_tables()), OWN_NAMES]


@cache
def known_tables() -> list[tuple[str, NameTable]]:
    """All name tables of the registry, with the library of each."""
    tables: list[tuple[str, NameTable]] = []
    for spec in MODELS.values():
        tables += [item for item in spec.name_tables.items() if item not in tables]
    return tables


@cache
def _compiled(modules: tuple[ModuleName, ...]) -> list[tuple[ModuleName, re.Pattern[str]]]:
    return [(row, re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(row.ours)))) for row in modules]
