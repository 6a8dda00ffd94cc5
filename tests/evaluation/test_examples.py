"""Predictions beside the truth."""

from dataclasses import replace

import bright_nets
import jax
import numpy as np
import pytest

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.sources.annotations import Annotations
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.evaluation.evaluate import evaluate
from resnet_jax.evaluation.examples import FirstExamples, draw_examples
from resnet_jax.evaluation.image_inputs import ImageInputs
from resnet_jax.images.rle import encode
from resnet_jax.tasks import Detection
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState


class Truth:
    """One object, where the photo is bright."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        x0, y0, x1, y1 = bright_nets.BOX
        mask = np.zeros(bright_nets.SIZE, np.uint8)
        mask[y0:y1, x0:x1] = 1
        boxes = np.array([bright_nets.BOX], np.float64)
        area = np.array([mask.sum()], np.float64)
        return Annotations(boxes, np.array([1]), [encode(mask)], np.zeros(1, bool), area, bright_nets.SIZE)


class Devices:
    """The one device, as `evaluate` asks for it."""

    share = (0, 1)

    def prefetch(self, batches):
        return batches


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    files = [bright_nets.photo(folder / f"{i}.png") for i in range(3)]
    images = ImageInputs(files, np.zeros(3, np.int32), ("",))
    source = DenseSource(images, Truth(3), bright_nets.CLASSES, "boxes")
    return DenseLoader(source, 64, 64, max_boxes=2, masks=True)


def test_a_detector_is_measured_and_its_first_examples_are_drawn_beside_the_truth(loader):
    net = bright_nets.net(bright_nets.BrightDetector())
    task = Detection(classes=bright_nets.CLASSES).for_examples(loader.examples)
    step = jax.jit(forward_step(net.model, task.predictions, axis_name=None, prepare=net.preprocess))
    state = TrainState.from_variables(net.variables, bright_nets.NO_UPDATE, jax.random.key(0))
    first = FirstExamples(task.evaluator(), 2)
    results = evaluate(step, state, loader, first, batch_size=2, parallel=Devices())
    assert results["images"] == 3
    assert results["ap50"] == results["mask_ap50"] == 1
    assert [example.number for example in first.examples] == [0, 1]
    picture = draw_examples(task, loader, first.examples)
    height, width = 51 * 8, 64 * 8  # of the photo on the canvas, enlarged
    assert picture.shape[0] > height and picture.shape[1] > 4 * width
    np.testing.assert_array_equal(picture, draw_examples(task, replace(loader, masks=False), first.examples))
    assert draw_examples(task, loader, []) is None
