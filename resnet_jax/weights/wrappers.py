"""Finds the net in a file of weights: below other keys, behind prefixes, and beside arrays of something else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from resnet_jax.errors import AmbiguousWeights, UnreadableWeights, listed, one_of
from resnet_jax.weights.keras_layers import by_layer
from resnet_jax.weights.names import OWN_NAMES, Names, known_tables
from resnet_jax.weights.readers import StoredArray, WeightFile, read_weights

# Keys of training checkpoints, and prefixes that wrappers put before all names.
RAW = ("state_dict", "model", "model_state", "model_state_dict", "net", "network", "student")
AVERAGED = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "teacher")
PREFIXES = ("module", "_orig_mod", "net", "model", "backbone", "encoder")
# Encoders of self-supervised methods that follow the trained one. Their heads are no classifiers.
MOMENTUM = ("encoder_k", "target_encoder", "target_network", "momentum_encoder", "backbone_momentum", "target")
TRAINED = ("encoder_q", "online_encoder", "online_network", "online")
PROJECTION = re.compile(
    r"(projection_head|projector|projection|prototypes|predictor|head\.mlp|head\.last_layer|fc\.\d)\b"
)
SKIPPED = "skipped what is not part of the net"
# torchvision's detectors of the first kind count no batches, as their norms are constants.
FROZEN = "norms of torchvision's detectors may have epsilon 0; nets have 1e-5 by default"
# What files have beside a net, by the last part of its name.
KINDS = {
    "momentum encoder": re.compile("|".join(MOMENTUM)),
    "projection head": re.compile("projection_head|projector|projection|prototypes|predictor"),
    "queue": re.compile(r"queue\w*"),
    "detector": re.compile("fpn|rpn|roi_heads|proposal_generator"),
    "head": re.compile(r"\w*head|fc|(aux_)?classifier"),
}
# State of a training run, which is dropped without a word.
TRAINING = re.compile(
    r"(optim|optimizers?|optimizer_\w+|opt_state|\w*schedulers?|\w*scaler|amp|callbacks|loops|rng\w*|best_\w+|epoch|global_step"
    r"|n_averaged)(\.|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NetState:
    """The arrays of one net, by their names in its library."""

    tensors: Mapping[str, StoredArray]
    prefix: str = ""  # was removed from their names
    dropped: Mapping[str, int] = field(default_factory=dict)  # other arrays of the file, as {"module.queue": 1}
    beside: str = ""  # "raw" or "averaged": weights of the file that `ema` did not ask for

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what differs from the file."""
        renamed = f"names are read without their prefix {self.prefix!r}" if self.prefix else ""
        others = f"the {self.beside} weights in the file are not read" if self.beside else ""
        is_frozen = self.prefix.endswith("backbone.body.") and not any(map(_is_counter, self.tensors))
        return tuple(filter(None, (renamed, others, FROZEN if is_frozen else "", self.losses)))

    @property
    def losses(self) -> str:
        """What is not read, by kind; "" if every array is."""
        groups = {kind: [group for group in self.dropped if _kind(group) == kind] for kind in (*KINDS, "")}
        unknown = [f"{group} ({_arrays(self.dropped[group])})" for group in groups.pop("")]
        known = [f"{kind} ({', '.join(names)})" for kind, names in groups.items() if names]
        items = [*known, *([listed(unknown, 3)] if unknown else [])]
        return f"{SKIPPED}: {', '.join(items)}" if items else ""


def unwrap(file: WeightFile, ema: bool | None = None, *, dense: bool = False) -> NetState:
    """The net in a file: without the keys and prefixes around it, and without what lies beside it.

    Args:
      dense: whether the net is a segmenter or detector; else it may be the backbone of one.
      ema: True: the averaged weights of a training checkpoint, False: the raw ones, None: the only ones.

    Raises:
      AmbiguousWeights: it has both and `ema` is None, or it has several nets.
      UnreadableWeights: it has no such weights.
    """
    file = by_layer(file)
    roots = _roots(file.tensors, dense)
    prefix = _choose(file.path, roots, ema)
    inside = tuple(root for root in roots if root != prefix and root.startswith(prefix))  # other nets below this key
    tensors, dropped, beside = {}, Counter[str](), ""
    is_contrastive = not {*MOMENTUM, *TRAINED}.isdisjoint(prefix.split("."))
    for name, array in file.tensors.items():
        inner = name.removeprefix(prefix)
        if not name.startswith(prefix) or name.startswith(inside):
            group = _group(name, prefix)
            if TRAINING.match(group):
                continue
            if _is_alternative(group, prefix, roots):
                beside = "raw" if _has(prefix, AVERAGED) else "averaged"
            else:
                dropped[group] += 1
        elif not dense and (match := PROJECTION.match(inner)):
            dropped[f"{prefix}{match[0].partition('.')[0]}"] += 1
        elif not dense and is_contrastive and inner.startswith("fc."):
            dropped[f"{prefix}fc"] += 1
        else:
            tensors[inner] = array
    return NetState(tensors, prefix, dropped, beside)


def has_dense_names(file: WeightFile) -> bool:
    """Whether the file has the names of a backbone inside a segmenter or detector."""
    return bool(_nets(set(file.tensors), dense=True))


def read_state(path: Path, ema: bool | None = None) -> dict[str, np.ndarray]:
    """Every array of the net in a file of weights, by its name. Raises as `read_weights` and `unwrap`."""
    return {name: np.asarray(array) for name, array in unwrap(read_weights(path), ema).tensors.items()}


def _roots(names: Iterable[str], dense: bool) -> list[str]:
    """What stands before the names of each net in a file; [""] if nothing does."""
    names = set(names)
    roots = _nets(names, dense)
    inside = {root + prefix for root, prefix in roots if prefix}  # the same net, by the names of another library
    if nets := sorted({root for root, _ in roots} - inside):
        return nets
    keys = {name.partition(".")[0] for name in names if "." in name}
    return [_inner(names, f"{key}.") for key in (*RAW, *AVERAGED) if key in keys] or [_inner(names, "")]


def _nets(names: set[str], dense: bool) -> set[tuple[str, str]]:
    """What stands before the names of each net that is known by its first arrays, and the prefix of its library."""
    return {
        (name.removesuffix(stem), prefix)
        for stem, block, prefix in _landmarks(dense)
        for name in names
        if (name == stem or name.endswith(f".{stem}")) and f"{name.removesuffix(stem)}{block}" in names
    }


def _inner(names: Iterable[str], root: str) -> str:
    """The root, with the prefixes that all names below it have."""
    while True:
        first = {name.removeprefix(root).partition(".")[0] for name in names if name.startswith(root)}
        if len(first) != 1 or first.isdisjoint(PREFIXES):
            return root
        root += f"{first.pop()}."


@cache
def _landmarks(dense: bool) -> tuple[tuple[str, str, str], ...]:
    """The first convolutions of the stem and of the first block, and the prefix, in every name table."""
    landmarks = set()
    nets = [("params", "backbone")] if dense else [("params",), ("params", "image_tower")]
    for names in (*(Names(layout, table) for layout, table in known_tables()), OWN_NAMES):
        prefix = names.table.prefix or names.table.inner_prefix
        for net, stem, block in product(nets, ("stem/conv", "stem/conv1"), ("conv1", "conv2", "conv1/conv_0")):
            paths = [(*net, *place.split("/"), "kernel") for place in (stem, f"stage1_block0/branch/{block}")]
            try:
                landmarks.add((names.entry(paths[0])[0], names.entry(paths[1])[0], prefix))
            except ValueError:  # nets of this kind have no such module
                continue
    return tuple(sorted(landmarks))


def _choose(path: Path, roots: list[str], ema: bool | None) -> str:
    """The root of the raw or the averaged weights."""
    trained = [root for root in roots if not _has(root, MOMENTUM)] or roots
    raw, averaged = ([root for root in trained if _has(root, AVERAGED) is is_averaged] for is_averaged in (False, True))
    if raw and averaged and ema is None:
        kinds = f"raw weights ({_quoted(raw)}) and averaged ones ({_quoted(averaged)})"
        raise AmbiguousWeights(f"{path.name} has {kinds}; expected ema=False or ema=True")
    candidates = (averaged if ema else raw) if ema is not None else raw or averaged
    if not candidates:
        kind = "averaged" if ema else "raw"
        others = "ema=None or ema=False" if ema else "ema=None or ema=True"
        raise UnreadableWeights(f"{path.name} has no {kind} weights; expected {others}")
    if len(candidates) > 1:
        raise AmbiguousWeights(
            f"{path.name} has {len(candidates)} nets: {_quoted(candidates)}; expected a file with one"
        )
    return candidates[0]


def _has(root: str, keys: tuple[str, ...]) -> bool:
    return not set(keys).isdisjoint(root.split("."))


def _quoted(roots: list[str]) -> str:
    return one_of(repr(root.removesuffix(".")) for root in roots[:5]).replace(" or ", " and ")


def _group(name: str, prefix: str) -> str:
    """The first part of a name that differs from the prefix: "module.queue"."""
    parts, others = re.split("[./]", name), prefix.split(".")
    same = next(
        (i for i, (part, other) in enumerate(zip(parts, others, strict=False)) if part != other), len(parts) - 1
    )
    return ".".join(parts[: same + 1])


def _kind(group: str) -> str:
    """The key in KINDS; "" for something else."""
    last = group.rpartition(".")[2]
    return next((kind for kind, names in KINDS.items() if names.fullmatch(last)), "")


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _arrays(count: int) -> str:
    return f"{count} array{'s' * (count > 1)}"


def _is_alternative(group: str, prefix: str, roots: list[str]) -> bool:
    """Whether these are the averaged weights beside the raw ones, or the raw ones beside the averaged."""
    if _has(prefix, AVERAGED) and "" in roots:  # raw weights that are below no key
        return True
    return group in (*RAW, *AVERAGED) and prefix.partition(".")[0] in (*RAW, *AVERAGED, "")
