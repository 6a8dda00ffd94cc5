"""Which published weights a file holds, by its name or timm's configuration beside it, and what its classes are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from resnet_jax.files import sha256
from resnet_jax.models import ModelSpec
from resnet_jax.models.published import PublishedWeights
from resnet_jax.weights.hub_config import label_names
from resnet_jax.weights.labels import label_set


def by_checksum(spec: ModelSpec | None, file: Path) -> PublishedWeights | None:
    """The published weights with the checksum in the file's name; torchvision's, where timm publishes the same file."""
    match = re.search(r"-([0-9a-f]{8})(?![0-9a-f])", file.name)
    if spec is None or match is None:
        return None
    return next((row for row in reversed(spec.pretrained) if row.checksum == match[1]), None)


def of_file(spec: ModelSpec | None, file: Path) -> PublishedWeights | None:
    """The published weights that the file holds: as `by_checksum`, if its contents have this checksum.

    Other contents, such as weights that were trained further and kept the name, are unknown, with a warning.
    """
    row = by_checksum(spec, file)
    if row is None:
        return None
    status = file.stat()
    digest = _digest(file.resolve(), status.st_size, status.st_mtime_ns)
    if digest.startswith(str(row.checksum)):
        return row
    problem = f"{file.name} is not {row.name}, as its name says: its SHA-256 begins with {digest[:8]}"
    warnings.warn(f"{problem}; it is read as an unknown file", stacklevel=3)
    return None


@lru_cache(maxsize=64)
def _digest(file: Path, size: int, modified: int) -> str:
    """The file's SHA-256; a process computes it again when the size or the time of the last change is another."""
    return sha256(file)


def class_names(
    spec: ModelSpec | None, config: Mapping[str, Any], classes: int, row: PublishedWeights | None
) -> tuple[str, ...] | None:
    """Names of the file's classes: those in timm's configuration, or those of the published weights; None: not known.

    The published weights are those of `row`, or of the tag in the configuration. Names of another number than `classes`
    are ignored.
    """
    if names := label_names(config, classes):
        return names
    nested = config.get("pretrained_cfg")
    if row is None and spec is not None and isinstance(nested, dict):
        row = next((row for row in spec.pretrained if row.tag == nested.get("tag")), None)
    if row is None or row.labels is None:
        return None
    labels = label_set(row.labels)
    return labels.names if len(labels) == named_outputs(spec, classes) else None


def named_outputs(spec: ModelSpec | None, outputs: int) -> int:
    """How many outputs of a net are classes with a name: a detector's background has none."""
    return outputs - 1 if spec is not None and spec.family == "detection" else outputs
