"""Names of our arrays in other libraries, from the name tables of the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

import flax.linen as nn

from resnet_jax.models import MODELS, ModelSpec
from resnet_jax.models.spec import WEIGHT_NORM, ModuleName, NameTable

T = TypeVar("T")
Path = tuple[str, ...]  # ("params", "stem", "conv", "kernel")

OWN = "resnet_jax"  # the layout of our own names: "params/stem/conv/kernel"


class Names:
    """Names of a net's arrays in one library ("timm", "transformers", "keras", ...), or our own.

    Args:
      depths: number of blocks in each stage, for libraries that number the blocks of the whole net.
    """

    def __init__(self, layout: str, table: NameTable, depths: Sequence[int] = ()) -> None:
        self.layout, self.table = layout, table
        self._blocks_before = [sum(depths[:stage]) for stage in range(max(len(depths), 1))]

    @property
    def is_own(self) -> bool:
        return self.layout == OWN

    @property
    def axes(self) -> str:
        """Axes of convolutions' kernels in their files: "OIHW" or "HWIO"."""
        return "HWIO" if self.is_own else self.table.kernels

    def entry(self, path: Path) -> tuple[str, bool]:
        """Name in their state dict of the array at `path` of our variables, and whether it is a 1x1 convolution there.

        Raises:
          ValueError: the library has no such array.
        """
        if self.is_own:
            return "/".join(path), False
        names, row = self._find(path)
        return names[0], row.is_conv1x1 and path[-1] == "kernel"

    def entries(self, path: Path) -> list[str]:
        """Names of their arrays that side by side along the outputs are ours at `path`: nearly always one.

        Raises:
          ValueError: the library has no such array.
        """
        return [self.entry(path)[0]] if self.is_own else self._find(path)[0]

    def is_as_ours(self, path: Path) -> bool:
        """Whether the library's array has our axes whatever it is."""
        return not self.is_own and self._find(path)[1].is_as_ours

    def _find(self, path: Path) -> tuple[list[str], ModuleName]:
        _, *parents, leaf = path
        module = "/".join(parents)
        key = "shift" if leaf == "bias" and "norm" in parents[-1] else leaf
        for row, pattern in _compiled(self.table.modules):
            leaves = WEIGHT_NORM if row.is_weight_normed else self.table.leaves
            is_whole = (match := pattern.fullmatch("/".join(path[1:]))) is not None
            if match is None and key in leaves:
                match = pattern.fullmatch(module)
            if match is not None:
                numbers = self._numbers({name: int(number) for name, number in match.groupdict().items()})
                modules = [row.theirs.format(**numbers, part=part) for part in row.parts or ("",)]
                return [name if is_whole else f"{name}{leaves[key]}" for name in modules], row
        raise ValueError(f"{self.layout} has no name for {module or leaf}")

    def _numbers(self, numbers: dict[str, int]) -> dict[str, int]:
        """The numbers in a path of our variables, with those that `ModuleName` derives from them."""
        if "s" in numbers:
            numbers |= {"t": numbers["s"] - 1, "r": numbers["s"] + 1}
        if "k" in numbers:
            numbers["l"] = numbers["k"] - 1
        if "i" in numbers:
            numbers["j"] = numbers["i"] + 1
            stage = numbers.get("s", 1) - 1
            if stage < len(self._blocks_before):
                numbers["n"] = self._blocks_before[stage] + numbers["i"]
        return numbers

    def is_weight_norm(self, path: Path) -> bool:
        """Whether the array at `path` is g of PyTorch's weight norm, which has an axis for each one of the kernel."""
        return path[-1] == "scale" and self.entry(path)[0].endswith(WEIGHT_NORM["scale"])

    def copy(self, name: str) -> str | None:
        """The other name by which the library stores the array `name`; None: there is none."""
        patterns = ((re.compile(pattern), copy) for pattern, copy in self.table.copies)
        return next((match.expand(copy) for pattern, copy in patterns if (match := pattern.fullmatch(name))), None)

    def is_stored(self, path: Path) -> bool:
        """Whether the library's files have the array at `path` of our variables."""
        return path[-1] not in self.table.constants

    def conv_bias(self, path: Path) -> str | None:
        """Name of the bias of the convolution before a norm, whose running mean is at `path`; None: it has none."""
        if not self.table.has_conv_biases or path[-1] != "mean":
            return None
        *parents, norm, _ = path
        return self.entry((*parents, norm.replace("norm", "conv"), "bias"))[0]

    def classifier(self) -> tuple[str, str]:
        """Names of the classifier's bias and kernel."""
        bias, kernel = self._arrays(self.table.classifiers[0])
        return bias, kernel

    def classifiers(self) -> list[str]:
        """Names of all arrays that have numbers for each class."""
        return [name for module in self.table.classifiers for name in self._arrays(module)]

    def _arrays(self, module: str) -> list[str]:
        return [self.entry(("params", *module.split("/"), leaf))[0] for leaf in ("bias", "kernel")]

    def backbone_prefix(self) -> str:
        """What stands before the names of the backbone's arrays in a segmenter or detector: "encoder."."""
        name = self.entry(("params", "backbone", "stage1_block0", "branch", "conv1", "kernel"))[0]
        return name.removesuffix("layer1.0.conv1.weight")

    def first_convolutions(self) -> list[str]:
        """Names that the kernel that takes the image may have."""
        return [name for path in FIRST_CONVOLUTIONS if (name := self._name(path))]

    def _name(self, path: Path) -> str | None:
        try:
            return self.entry(path)[0]
        except ValueError:
            return None


FIRST_CONVOLUTIONS = tuple(
    ("params", *net, "stem", conv, "kernel")
    for net in ((), ("backbone",), ("image_tower",))
    for conv in ("conv", "conv1")
)
OWN_NAMES = Names(OWN, NameTable(()))


def names_for(spec: ModelSpec | None, model: nn.Module) -> list[Names]:
    """Names in every library that has this net, and our own. For a net that none has, or without a row: all there are.

    A library with nets of this kind, but not this one, is skipped: its files would give other numbers.
    """
    tables = list(spec.name_tables.items()) if spec is not None else []
    depths = depths_of(model)
    own = Names(OWN, NameTable((), classifiers=tables[0][1].classifiers)) if tables else OWN_NAMES
    return [*(Names(layout, table, depths) for layout, table in tables or known_tables()), own]


def depths_of(model: nn.Module) -> list[int]:
    """Number of blocks in each stage of a net."""
    return [stage.depth for stage in getattr(model, "stages", ())]


@cache
def known_tables() -> list[tuple[str, NameTable]]:
    """All name tables of the registry, with the library of each."""
    tables: list[tuple[str, NameTable]] = []
    for spec in MODELS.values():
        tables += [item for item in spec.name_tables.items() if item not in tables]
    return tables


def with_current_names(state: Mapping[str, T], table: NameTable) -> dict[str, T]:
    """The entries of a file by today's names of the library, without those that are no weights."""
    patterns = [(re.compile(old), new) for old, new in table.renames]

    def current(name: str) -> str:
        return next((match.expand(new) for old, new in patterns if (match := old.fullmatch(name))), name)

    return {current(name): array for name, array in state.items() if not re.fullmatch(table.ignored, name)}


@cache
def _compiled(modules: tuple[ModuleName, ...]) -> list[tuple[ModuleName, re.Pattern[str]]]:
    return [(row, re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(row.ours)))) for row in modules]
