"""What is in a dataset with boxes or masks: numbers of objects and their sizes, shares of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnet_jax import data
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.statistics import sample
from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.sources.annotations import IGNORED
from resnet_jax.data.sources.subsets import dense
from resnet_jax.errors import DataError

SIDES = (32, 96)  # side of a square with the area of the largest small, and medium, object: pixels (COCO)


def dense_counts(dataset: data.Dataset, served: Mapping[str, data.Loader]) -> dict[str, list[int]]:
    """Objects of each class, or images that have pixels of it, by split: those that are served, then the others."""
    counts = {split: _count(loader.examples) for split, loader in served.items()}
    used = {part.partition("[")[0] for split in served for part in split.split("+")}
    classes = next(iter(served.values())).classes
    for split in dataset.splits:
        if split not in used and (source := dataset.examples(split)).classes == classes:
            counts[split] = _count(source)
    return counts


def _count(source: Any) -> list[int]:
    return dense(source).presence().sum(0).tolist()


def dense_rows(served: Mapping[str, data.Loader]) -> list[dict[str, Any]]:
    """A record for each split: its objects and the sizes of their boxes on the canvas; or shares of pixels."""
    return [
        _objects(split, loader) if loader.label_kind == "boxes" else _pixels(split, loader)
        for split, loader in served.items()
        if isinstance(loader, DenseLoader)
    ]


def _objects(split: str, loader: DenseLoader) -> dict[str, Any]:
    """Sides are square roots of the areas of boxes on the canvas. They and the crowds are those of 500 images."""
    per_image = dense(loader.examples).presence().sum(1)
    sides: list[float] = []
    crowds = 0
    indices = sample(loader.num_examples)
    for one in in_threads(lambda i: _sides(loader, indices[i]), len(indices), threads=loader.threads):
        sides += one[0]
        crowds += one[1]
    values = np.array(sides or [0.0])
    return {
        "split": split,
        "objects": int(per_image.sum()),
        "images_without_objects": int((per_image == 0).sum()),
        "most_objects": int(per_image.max(initial=0)),
        "dropped": int(np.maximum(per_image - loader.box_count, 0).sum()),
        "crowds": crowds,
        "least_side": float(values.min()),
        "median_side": float(np.median(values)),
        "greatest_side": float(values.max()),
        "small": float((values < SIDES[0]).mean()),
        "large": float((values > SIDES[1]).mean()),
    }


def _sides(loader: DenseLoader, index: int) -> tuple[list[float], int]:
    example = loader.decoded(index)
    if example is None or example.boxes is None or example.crowd is None:
        return [], 0
    width, height = (example.boxes[:, 2:] - example.boxes[:, :2]).T
    return np.sqrt(width * height).tolist(), int(example.crowd.sum())


def _pixels(split: str, loader: DenseLoader) -> dict[str, Any]:
    """Shares of the pixels of 500 images."""
    indices = sample(loader.num_examples)

    def count(i: int) -> np.ndarray:
        try:
            return np.bincount(dense(loader.examples).label(indices[i]).ravel(), minlength=256)
        except DataError:  # named where it is served
            return np.zeros(256, np.int64)

    counts = sum(in_threads(count, len(indices), threads=loader.threads), np.zeros(256, np.int64))
    total = max(1, int(counts.sum()))
    shares = {name: float(counts[k] / total) for k, name in enumerate(loader.classes)}
    return {"split": split, "shares": shares, "ignored": float(counts[IGNORED] / total)}


def dense_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The records for a person, a line or two each."""
    lines = []
    for row in rows:
        if "shares" in row:
            largest = sorted(row["shares"].items(), key=lambda item: -item[1])[:8]
            shown = ", ".join(f"{name} {100 * share:.1f}%" for name, share in largest)
            lines.append(f"pixels in {row['split']}: {shown}; ignored {100 * row['ignored']:.1f}%")
            continue
        images = f"at most {row['most_objects']} in an image, {row['images_without_objects']:,} images without"
        lines.append(f"{row['objects']:,} objects in {row['split']}: {images}")
        if not row["objects"]:
            continue
        sides = f"{row['least_side']:.0f} to {row['greatest_side']:.0f} pixels, median {row['median_side']:.0f}"
        shares = f"{100 * row['small']:.0f}% below {SIDES[0]}, {100 * row['large']:.0f}% above {SIDES[1]}"
        crowds = f"; {row['crowds']:,} crowds" if row["crowds"] else ""
        lines.append(f"sides of the boxes as the net sees them: {sides}; {shares}{crowds}")
        if row["dropped"]:
            lines.append(f"{row['dropped']:,} boxes are more than --data.max-boxes in their image and not trained on")
    return lines
