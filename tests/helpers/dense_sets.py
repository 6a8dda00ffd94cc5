"""Tiny sets with boxes and masks, written by tests."""

import io
import json

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")
HEIGHT, WIDTH = 24, 32


def write_pictures(folder, names):
    """Pictures of random pixels, 24 high and 32 wide, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rng = np.random.default_rng([*name.encode()])
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / f"{name}.png")


def coco(names, objects=()):
    """COCO's JSON of pictures: image ids from 5, categories 7 (cat) and 90 (dog).

    `objects`: fields of each annotation, over those of a cat in the first picture.
    """
    images = [
        {"id": 5 + i, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH} for i, name in enumerate(names)
    ]
    default = {"image_id": 5, "category_id": 7, "bbox": [4, 2, 8, 6], "area": 48.0, "iscrowd": 0}
    annotations = [{"id": i + 1} | default | one for i, one in enumerate(objects)]
    categories = [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(file, names, objects=()):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(coco(names, objects)))


def voc_xml(name, objects, size=(HEIGHT, WIDTH)):
    """VOC's XML; `objects`: (class, xmin, ymin, xmax, ymax) or the same and the mark "difficult"."""
    shown = "".join(
        f"<object><name>{one[0]}</name><difficult>{int('difficult' in one)}</difficult><bndbox><xmin>{one[1]}</xmin>"
        f"<ymin>{one[2]}</ymin><xmax>{one[3]}</xmax><ymax>{one[4]}</ymax></bndbox></object>"
        for one in objects
    )
    sides = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.png</filename>{sides}{shown}</annotation>"


def write_voc(root, images, lists=None):
    """VOC's folders; `images`: objects by name, as `voc_xml` takes them."""
    write_pictures(root / "JPEGImages", images)
    (root / "Annotations").mkdir()
    for name, objects in images.items():
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(name, objects))
    for split, names in (lists or {}).items():
        (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def write_mask(file, array, colors=None):
    """A mask as PNG of grey levels, or with a palette."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array, np.uint8))
    if colors is not None:
        image = image.convert("P")
        image.putpalette(colors)
    image.save(file)


def encoded(array):
    """Pixels as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return buffer.getvalue()
