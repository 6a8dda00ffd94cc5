"""Tree crowns in aerial photographs: COCO JSON of patches, for configs/trees_retinanet.py.

    python examples/trees.py trees                               downloads the wheel of deepforest with pip
    python examples/trees.py trees --wheel deepforest-2.1.0-py3-none-any.whl
    python train.py --config configs/trees_retinanet.py

The wheel of deepforest 2.1.0 (MIT licence) has a photograph of 2,299 x 2,472 pixels of 10 cm in Yellowstone, from the
National Ecological Observatory Network, with 574 crowns that people have marked by boxes. It is cut into patches of at
most 400 pixels a side without overlap. The right column of six is held out: it is `test`, the others are `train`.

A crown on the border of patches is in each of them, cut off at the border. A part with less than two fifths of the
crown's area is marked as a crowd: it is no target, and detections of it count neither as right nor as wrong.
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

TILE = "deepforest/data/2019_YELL_2_528000_4978000_image_crop2"
PATCH = 400  # greatest side of a patch, pixels
HELD_OUT = 1  # columns of patches, at the right edge
LEAST_SHARE = 0.4  # of a crown's area in a patch, if it is to be a target


def read_tile(wheel: Path) -> tuple[Image.Image, np.ndarray]:
    """The photograph, and the crowns' boxes, float [n, 4]: x0, y0, x1, y1 in pixels."""
    with zipfile.ZipFile(wheel) as archive:
        with archive.open(f"{TILE}.png") as file:
            image = Image.open(file).convert("RGB")
        with archive.open(f"{TILE}.xml") as file:
            root = ElementTree.parse(file).getroot()
    corners = ("xmin", "ymin", "xmax", "ymax")
    return image, np.array([[float(box.findtext(name)) for name in corners] for box in root.iter("bndbox")])


def edges(length: int) -> np.ndarray:
    """Borders of the fewest patches of about equal sides: int [n + 1]."""
    return np.round(np.linspace(0, length, math.ceil(length / PATCH) + 1)).astype(int)


def boxes_in(window: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut off at a window, int [4], in its pixels, float [m, 4]; and which have too little area in it, [m]."""
    inside = np.clip(boxes, np.tile(window[:2], 2), np.tile(window[2:], 2))
    sides, whole = inside[:, 2:] - inside[:, :2], boxes[:, 2:] - boxes[:, :2]
    present = (sides >= 1).all(1)
    return (inside - np.tile(window[:2], 2))[present], (sides.prod(1) < LEAST_SHARE * whole.prod(1))[present]


def write_split(folder: Path, split: str, image: Image.Image, boxes: np.ndarray, windows: np.ndarray) -> None:
    """Writes the patches of a split, and SPLIT.json: windows int [p, 4] as x0, y0, x1, y1."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, window in enumerate(windows, 1):
        name = f"{split}/{window[0]}_{window[1]}.png"
        image.crop(tuple(window.tolist())).save(folder / name)
        width, height = (window[2:] - window[:2]).tolist()
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for (x0, y0, x1, y1), is_small in zip(*boxes_in(window, boxes), strict=True):
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": int(is_small)}
                | {"bbox": box, "area": box[2] * box[3]}
            )
    contents = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "tree"}]}
    (folder / f"{split}.json").write_text(json.dumps(contents))
    crowds = sum(one["iscrowd"] for one in annotations)
    print(f"{folder / split}.json: {len(images)} patches, {len(annotations) - crowds} crowns, {crowds} small parts")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--wheel", type=Path, help="wheel of deepforest 2.1.0; without it, pip downloads one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as downloads:
        if (wheel := options.wheel) is None:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "deepforest==2.1.0", "-d", downloads]
            subprocess.run(command, check=True)
            (wheel,) = Path(downloads).glob("*.whl")
        image, boxes = read_tile(wheel)
    columns, rows = edges(image.width), edges(image.height)
    border = columns[-1 - HELD_OUT]
    windows = np.array(
        [(x0, y0, x1, y1) for y0, y1 in itertools.pairwise(rows) for x0, x1 in itertools.pairwise(columns)]
    )
    for split, is_inside in (("train", windows[:, 2] <= border), ("test", windows[:, 0] >= border)):
        write_split(options.folder, split, image, boxes, windows[is_inside])


if __name__ == "__main__":
    main()
