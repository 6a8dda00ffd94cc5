"""Evaluation of dense tasks: predictions are passed on image by image, and none is held."""

import contextlib
import io
import json
import tracemalloc

import bright_nets
import jax
import numpy as np
from dense_sets import write_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resnet_jax.config import DataConfig
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.dense import predict_dense
from resnet_jax.evaluation.prediction_files import PredictionFile
from resnet_jax.runs.planning.datasets import open_configured_dataset, open_split
from resnet_jax.tasks import Detection, Segmentation
from resnet_jax.tasks.protocol import TaskOptions

SIDE, BATCH, BATCHES = 128, 4, 48


class Squares:
    """Images with a bright square, or their label maps, made when they are read."""

    def __init__(self, is_label):
        self.is_label = is_label

    def __len__(self):
        return BATCH * BATCHES - 1

    def __getitem__(self, index):
        label = np.zeros((SIDE, SIDE), np.uint8)
        label[: index % 128 + 1, 16:80] = 1
        return label if self.is_label else (np.repeat(label[..., None] * 250, 3, axis=2), 0)

    def name(self, index):
        return f"image {index}"


class Memory:
    """An evaluator that measures the memory in use since the first update, in bytes."""

    def __init__(self):
        self.sizes = []

    def update(self, outputs, batch):
        if not self.sizes:
            tracemalloc.start()
        self.sizes.append(tracemalloc.get_traced_memory()[0])


def test_memory_does_not_grow_with_the_pixels_of_a_data_set(tmp_path):
    net, task = bright_nets.net(bright_nets.BrightSegmenter()), Segmentation(classes=bright_nets.CLASSES)
    source = DenseSource(Squares(False), Squares(True), bright_nets.CLASSES, "pixels")
    loader, memory = DenseLoader(source, SIDE, SIDE, cache=0), Memory()
    file = PredictionFile(tmp_path / "predictions.json", task)
    parallel = Parallel(devices=jax.devices()[:1])
    predictions, _ = predict_dense(net, task, loader, memory, batch_size=BATCH, parallel=parallel, add=file.add)
    tracemalloc.stop()
    assert predictions.names == [f"image {i}" for i in range(len(source))] and len(memory.sizes) == BATCHES
    assert predictions.labels.size == 0 and predictions.outputs == {}
    growth = np.median(memory.sizes[32:40]) - np.median(memory.sizes[8:16])  # reading ahead makes single sizes vary
    assert growth < 24 * BATCH * SIDE**2 / 2  # the label maps would need twice as much
    file.write()
    one = json.loads((tmp_path / "predictions.json").read_text())[63]
    assert (one["image"], one["label"], one["classes"][1]["share"]) == ("image 63", ["dark", "bright"], 1 / 4)


def write_rectangles(root, count=12):
    """COCO's JSON of pictures with a bright rectangle each, which is annotated with another size and perhaps class."""
    rng = np.random.default_rng(0)
    images, objects = [], []
    for i in range(count):
        (height, width), (x, y) = rng.integers(90, 140, 2).tolist(), rng.integers(0, 40, 2).tolist()
        w, h = (int(rng.integers(12, side)) for side in (width - x, height - y))
        pixels = np.full((height, width, 3), 30)
        pixels[y : y + h, x : x + w] = 240
        write_mask(root / f"{i}.png", pixels)
        images.append({"id": 100 - 3 * i, "file_name": f"{i}.png", "height": height, "width": width})
        x0, y0, x1, y1 = (np.array([x, y, x + w, y + h]) + rng.integers(-2, 3, 4) * [1, 1, 2, 2]).clip(0).tolist()
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
        one = box | {"id": i + 1, "image_id": 100 - 3 * i, "area": (x1 - x0) * (y1 - y0), "iscrowd": int(i == 5)}
        objects.append(one | {"category_id": 7 if i % 4 else 90})
    categories = [{"id": 90, "name": "dark"}, {"id": 7, "name": "bright"}]
    text = json.dumps({"images": images, "annotations": objects, "categories": categories})
    (root / "instances.json").write_text(text)


def test_a_file_of_objects_has_the_numbers_of_the_evaluation_in_pycocotools(tmp_path):
    write_rectangles(tmp_path)
    config = DataConfig(path=str(tmp_path), annotations=str(tmp_path / "instances.json"), image_size=64, channels=3)
    loader = open_split(config, open_configured_dataset(config, label_kind="boxes"), "train", label_kind="boxes")
    net, task = bright_nets.net(bright_nets.BrightDetector()), Detection().for_data(loader.examples, TaskOptions())
    evaluator = task.for_examples(loader.examples).evaluator()
    file = PredictionFile(tmp_path / "results.json", task)
    parallel = Parallel(devices=jax.devices()[:1])
    predict_dense(net, task, loader, evaluator, batch_size=5, parallel=parallel, add=file.add)
    file.write()
    expected = list(evaluator.result().values())
    assert len(set(expected)) > 12 and expected[0] > 0.05
    results = json.loads((tmp_path / "results.json").read_text())
    measured = []
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(tmp_path / "instances.json")
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(truth, truth.loadRes(results), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            measured += evaluation.stats.tolist()
            results = [{name: x for name, x in one.items() if name != "bbox"} for one in results]  # areas of masks
    np.testing.assert_allclose(measured, np.nan_to_num(expected, nan=-1), rtol=0, atol=1e-12)
