"""Evaluation of dense tasks: predictions are passed on image by image, and none is held."""

import json
import tracemalloc

import bright_nets
import jax
import numpy as np

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.dense import predict_dense
from resnet_jax.evaluation.prediction_files import PredictionFile
from resnet_jax.tasks import Segmentation

SIDE, BATCH, BATCHES = 128, 4, 64


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
    """An evaluator that measures the memory in use at each update, in bytes."""

    def __init__(self):
        self.sizes = []

    def update(self, outputs, batch):
        self.sizes.append(tracemalloc.get_traced_memory()[0])


def test_memory_does_not_grow_with_the_pixels_of_a_data_set(tmp_path):
    net, task = bright_nets.net(bright_nets.BrightSegmenter()), Segmentation(classes=bright_nets.CLASSES)
    source = DenseSource(Squares(False), Squares(True), bright_nets.CLASSES, "pixels")
    loader, memory = DenseLoader(source, SIDE, SIDE, cache=0), Memory()
    file = PredictionFile(tmp_path / "predictions.json", task)
    tracemalloc.start()
    parallel = Parallel(devices=jax.devices()[:1])
    predictions, _ = predict_dense(net, task, loader, memory, batch_size=BATCH, parallel=parallel, add=file.add)
    tracemalloc.stop()
    assert predictions.names == [f"image {i}" for i in range(len(source))] and len(memory.sizes) == BATCHES
    assert predictions.labels.size == 0 and predictions.outputs == {}
    growth = np.median(memory.sizes[48:56]) - np.median(memory.sizes[8:16])  # reading ahead makes single sizes vary
    assert growth < 40 * BATCH * SIDE**2 / 2  # the label maps would need twice as much
    file.write()
    one = json.loads((tmp_path / "predictions.json").read_text())[63]
    assert (one["image"], one["label"], one["classes"][1]["share"]) == ("image 63", ["dark", "bright"], 1 / 4)
