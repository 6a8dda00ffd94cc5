"""Checks of a config against its model and data."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import dense_sets
import numpy as np
import pytest
from small_run import config

from resnet_jax.config import Config, DataConfig, ModelConfig
from resnet_jax.data import MemoryLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.errors import UnreadableImage
from resnet_jax.models import create_model
from resnet_jax.runs.planning.checks import (
    check_batch_and_shape,
    check_deterministic,
    check_values_per_channel,
    constant_targets,
    first_labels,
)
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.tasks import Detection, Segmentation, get_task


@pytest.mark.parametrize(("change", "value"), [("optim__gate_penalty", 0.1), ("train__soft_gate_epochs", 1.0)])
def test_options_of_skipnets_are_refused_for_other_nets(tmp_path, tfds_dir, change, value):
    option = change.replace("__", ".").replace("_", "-")
    message = rf"^--{option} {value} needs gates, and cifar_resnet8 has none; expected cifar_skipnet38,"
    with pytest.raises(ValueError, match=message):
        make_plan(config(tmp_path, tfds_dir, **{change: value}))


def test_a_run_does_not_end_with_soft_gates(tmp_path, tfds_dir):
    with pytest.raises(ValueError, match=r"soft-gate-epochs 2.0 is 8 of 8 steps; expected fewer"):
        make_plan(config(tmp_path, tfds_dir, model__name="cifar_skipnet38", train__soft_gate_epochs=2.0))


@pytest.mark.parametrize(
    ("sides", "sizes"), [(((8, 9), (8, 9)), "8 x 9 x 3"), (((8, 8), (9, 9)), "8 x 8 x 3 and 9 x 9 x 3")]
)
def test_images_of_a_run_are_square_and_of_one_size(sides, sizes):
    loaders = [MemoryLoader(np.zeros((4, *side, 3), np.uint8), np.zeros(4, np.int32), ("a", "b")) for side in sides]
    with pytest.raises(ValueError, match=f"^expected square images of one size, got {sizes} in pets; set "):
        check_batch_and_shape(Config(data=DataConfig(batch_size=2)), "pets", *loaders)


def test_deterministic_runs_on_a_gpu_need_both_flags():
    both = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
    for flags in (both, f"--xla_gpu_autotune_level=4 {both} --xla_dump_to=x"):
        check_deterministic("gpu", flags)
    check_deterministic("cpu", "")
    for flags in ("", "--xla_gpu_deterministic_ops=true", f"{both} --xla_gpu_autotune_level=4"):
        with pytest.raises(ValueError, match="expected --xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0 in"):
            check_deterministic("gpu", flags)


class Source:
    """A source whose labels are known once its examples are read; the second cannot be."""

    classes = ("a", "b")

    def __init__(self):
        self.read = []

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        self.read.append(index)
        if index == 1:
            raise UnreadableImage("broken")
        return b"", index % 2


def test_of_a_large_set_only_the_labels_that_are_needed_are_read():
    source = Source()
    loader = StreamingLoader(source, 8, resize=8)
    assert first_labels(loader, 4).tolist() == [0, -1, 0, 1] and source.read == [0, 1, 2, 3]
    memory = MemoryLoader(np.zeros((3, 2, 2, 1), np.uint8), np.array([1, 0, 1], np.int32), ("a", "b"))
    assert first_labels(memory, 2).tolist() == [1, 0]


def test_targets_that_never_change_are_named():
    loaders = [
        SimpleNamespace(kind="images", classes=("age", "size"), labels=np.array(rows, np.float32))
        for rows in ([[1, 2], [1, 3]], [[-1, -1], [-1, -1]])
    ]
    notes = constant_targets(("train", "test"), *loaders)
    assert notes[0] == "target 'age' is 1 in all 2 images of 'train'"
    assert notes[1:] == [f"target {name!r} is -1 in all 2 images of 'test'" for name in ("age", "size")]


@dataclass(frozen=True)
class OwnMaps(Segmentation):
    name: ClassVar = "own maps"


@dataclass(frozen=True)
class OwnBoxes(Detection):
    name: ClassVar = "own boxes"


class Unnamed(OwnBoxes):
    measures: ClassVar = {"score": 1}


def test_tasks_of_label_maps_and_boxes_are_checked_before_any_work():
    def plan(task, net, *options):
        model = ModelConfig(name=net, stem="imagenet", options=("backbone=cifar_resnet8", *options))
        return make_plan(Config(model=model, data=DataConfig(name="scenes", batch_size=8)), task=task)

    boxes = ("levels=stage2,stage3", "fpn_features=8")
    assert plan(OwnMaps(), "fcn").task.num_outputs == plan(OwnBoxes(), "retinanet", *boxes).task.num_outputs == 11
    with pytest.raises(ValueError, match="expected the measure 'score' among its evaluator's results"):
        plan(Unnamed(), "retinanet", *boxes)


@pytest.mark.parametrize(
    ("task", "net", "message"),
    [
        ("detection", "resnet18", "resnet18 is not .*; expected fasterrcnn, .*, as --model.options backbone=resnet18"),
        ("detection", "deeplabv3", "deeplabv3 is not for --task detection; expected fasterrcnn, fcos, maskrcnn or ret"),
        ("segmentation", "resnet18", "resnet18 is not for --task segmentation; expected deeplabv3, .* or upernet"),
        ("segmentation", "retinanet", "retinanet is not for --task segmentation; expected deeplabv3"),
        ("classification", "unet", "unet is for --task segmentation, got --task classification; did you mean --task s"),
        ("language_model", "vdcnn9", "vdcnn9 is not for --task language_model; expected gcnn8_char, gcnn13, .* or gcn"),
        ("transcription", "m5", "m5 is not for --task transcription; expected quartznet5x2_small or quartznet5x5$"),
        ("classification", "gcnn13", "gcnn13 is for --task language_model, got .*; did you mean --task language_mode"),
    ],
)
def test_nets_of_other_tasks_are_refused_before_data_are_read(task, net, message):
    settings = Config(task=task, model=ModelConfig(name=net), data=DataConfig(path="missing"))
    for instance in (None, get_task(task)):
        with pytest.raises(ValueError, match=f"^--model.name {message}"):
            make_plan(settings, task=instance)


def test_a_set_without_objects_is_refused(tmp_path):
    dense_sets.write_pictures(tmp_path, names := [f"{i}" for i in range(4)])
    dense_sets.write_coco(tmp_path / "instances.json", names)
    settings = Config(
        task="detection",
        model=ModelConfig(name="retinanet", options=("backbone=cifar_resnet8", "levels=stage2")),
        data=DataConfig(path=str(tmp_path), image_size=32, batch_size=1),
    )
    with pytest.raises(ValueError, match=f"expected objects to train on, got none in the . images of {tmp_path}"):
        make_plan(settings)
    with pytest.raises(ValueError, match="expected objects with masks, got no objects"):
        make_plan(replace(settings, task="segmentation", model=ModelConfig(name="fcn")))


def test_one_image_at_a_time_is_checked_in_a_net_whose_decoder_has_dropout():
    model = create_model("fcn", backbone="cifar_resnet8", num_classes=3, frozen_norms="all")
    one = Config(data=DataConfig(batch_size=4))
    check_values_per_channel(one, model, (64, 64, 3), 4)
    with pytest.raises(ValueError, match="--data.batch-size 4 is one image at a time on each device"):
        check_values_per_channel(one, model.clone(frozen_norms=()), (4, 4, 3), 4)


def test_one_pair_at_a_time_is_checked_in_the_image_tower():
    sizes = {"image_tower": "cifar_resnet8", "embed_dim": 8, "text_width": 8, "text_heads": 2, "text_layers": 1}
    model = create_model("clip_resnet50", **sizes)
    one = Config(data=DataConfig(batch_size=1))
    check_values_per_channel(one, model, (16, 16, 3), 1)
    with pytest.raises(ValueError, match="--data.batch-size 1 is one image at a time on each device: .*one value"):
        check_values_per_channel(one, model, (4, 4, 3), 1)
