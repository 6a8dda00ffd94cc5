"""Random windows of images, boxes, masks and label maps, and what torchvision makes of them.

    PYTHONPATH=tests/helpers python tests/helpers/dense_windows.py

writes tests/golden/dense/windows.npz.
"""

from pathlib import Path

import numpy as np

CANVAS = (20, 24)
GOLDEN = Path(__file__).parents[1] / "golden" / "dense" / "windows.npz"


def make_examples(seed, count):
    """Images on a canvas with their labels, and a window of each: a dict of arrays."""
    rng = np.random.default_rng(seed)
    canvas = np.array(CANVAS)
    size = np.maximum(rng.integers(5, canvas + 1, (count, 2)), 5)
    resized = np.maximum(1, (size * rng.uniform(0.4, 2.5, (count, 1))).astype(int))
    corner = (np.maximum(resized - canvas, 0) * rng.uniform(0, 1, (count, 2))).astype(int)
    window = np.minimum(resized, canvas)
    points = rng.uniform(0, 1, (count, 6, 2, 2)) * size[:, None, None, ::-1]
    return {
        "image": rng.integers(0, 256, (count, *CANVAS, 3), np.uint8),
        "masks": rng.integers(0, 2, (count, 6, *CANVAS), np.uint8),
        "label_map": rng.integers(0, 9, (count, *CANVAS), np.uint8),
        "boxes": np.concatenate([points.min(2), points.max(2)], -1).astype(np.float32),
        "size": size,
        "resized": resized,
        "corner": corner,
        "window": window,
        "flipped": rng.integers(0, 2, count).astype(bool),
    }


def windows_by_torchvision(examples):
    """torchvision's functional transforms: resize, crop, flip, clamp, pad."""
    import torch
    import torchvision.transforms.v2.functional as F
    from torchvision import tv_tensors

    def transform(x, i):
        row, column = (int(n) for n in examples["corner"][i])
        height, width = (int(n) for n in examples["window"][i])
        x = F.resize(x, examples["resized"][i].tolist(), antialias=True)
        x = F.crop(x, row, column, height, width)
        x = F.horizontal_flip(x) if examples["flipped"][i] else x
        if isinstance(x, tv_tensors.BoundingBoxes):
            x = F.clamp_bounding_boxes(x)
        fill = 255 if isinstance(x, tv_tensors.Mask) and x.ndim == 2 else 0
        return F.pad(x, [0, 0, CANVAS[1] - width, CANVAS[0] - height], fill=fill).numpy()

    results = {"image": [], "masks": [], "label_map": [], "boxes": []}
    for i, (height, width) in enumerate(examples["size"].tolist()):
        image = torch.from_numpy(examples["image"][i, :height, :width]).permute(2, 0, 1).double()
        results["image"].append(transform(tv_tensors.Image(image), i).transpose(1, 2, 0))
        for name in ("masks", "label_map"):
            maps = tv_tensors.Mask(torch.from_numpy(examples[name][i, ..., :height, :width]))
            results[name].append(transform(maps, i))
        boxes = torch.from_numpy(examples["boxes"][i])
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
        results["boxes"].append(transform(boxes, i))
    return {name: np.stack(values) for name, values in results.items()}


if __name__ == "__main__":
    results = windows_by_torchvision(make_examples(0, 8))
    results["image"] = results["image"].astype(np.float32)
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **results)
