"""What detectors refuse: options and arrays of other types, shapes or values, before anything is computed."""

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import create_model
from resnet_jax.models.decoders.detector import Targets, check_targets

PYRAMID = ("stage1", "stage2", "stage3")


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("retinanet", {"anchor_sizes": 5}, r"anchor_sizes: expected sizes for each level, as .*, got 5"),
        ("retinanet", {"anchor_sizes": (8, 0, 32)}, r"anchor_sizes: expected one or more positive numbers, got \(0,\)"),
        (
            "fasterrcnn",
            {"anchor_sizes": "8 16 32"},
            "anchor_sizes: expected sizes for each level, as .*, got '8 16 32'",
        ),
        ("fasterrcnn", {"aspect_ratios": ()}, r"aspect_ratios: expected one or more positive numbers, got \(\)"),
        ("fasterrcnn", {"box_score_thresh": "high"}, "box_score_thresh: expected a number from 0 to 1, got 'high'"),
        ("retinanet", {"aspect_ratios": (1.0, -2.0)}, "aspect_ratios: expected one or more positive numbers, got"),
        ("retinanet", {"score_thresh": None}, "score_thresh: expected a number from 0 to 1, got None"),
        ("retinanet", {"fg_iou_thresh": np.nan}, "fg_iou_thresh: expected a number from 0 to 1, got nan"),
        ("retinanet", {"fg_iou_thresh": 0.3}, "^bg_iou_thresh: expected at most fg_iou_thresh 0.3, got 0.4"),
        ("fasterrcnn", {"rpn_bg_iou_thresh": 0.8}, "^rpn_bg_iou_thresh: expected at most rpn_fg_iou_thresh 0.7, got"),
        ("retinanet", {"head_groups": 0}, "head_groups: expected a whole number, at least 1, got 0"),
        ("fcos", {"fpn_features": 8}, "head_groups: expected a divisor of fpn_features 8, got 32; did you mean 8?"),
        ("fcos", {"center_sampling_radius": -1}, "center_sampling_radius: expected one or more positive numbers, got"),
        ("fasterrcnn", {"has_norms": "no"}, "has_norms: expected False or True, got 'no'"),
        ("fasterrcnn", {"bbox_reg_weights": (1,)}, "bbox_reg_weights: expected four positive numbers, got"),
        (
            "fasterrcnn",
            {"box_convs": "ab"},
            r"box_convs: expected a sequence of whole numbers, as \(64, 64\), got 'ab'",
        ),
        ("maskrcnn", {"mask_features": 0}, "mask_features: expected a whole number, at least 1, got 0"),
    ],
)
def test_options_of_other_types_are_named(net, options, message):
    with pytest.raises(ValueError, match=message):
        create_model(net, backbone="cifar_resnet8", num_classes=3, levels=PYRAMID, **options)


@pytest.mark.parametrize(("levels", "message"), [(3, "a sequence of levels, .*, got 3"), ((), "stages .*, got none")])
def test_levels_are_a_sequence(levels, message):
    with pytest.raises(ValueError, match=f"^levels: expected {message}"):
        create_model("retinanet", backbone="cifar_resnet8", num_classes=3, levels=levels)


@pytest.mark.parametrize("option", ["parts", "needs_masks"])
def test_constants_of_a_class_are_no_options(option):
    with pytest.raises(TypeError, match=f"maskrcnn has no option '{option}'; (?!.*least_classes)"):
        create_model("maskrcnn", **{option: ()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((2, 3, 5))}, r"targets.boxes float \[2, B, 4\], got float64 \[2, 3, 5\]"),
        ({"boxes": np.zeros((2, 3, 4), int)}, r"targets.boxes float .*, got int64 \[2, 3, 4\]"),
        ({"labels": np.ones((2, 3))}, r"targets.labels int \[2, 3\], got float64 \[2, 3\]"),
        ({"labels": np.ones(2, int)}, r"targets.labels int \[2, 3\], got int64 \[2\]"),
        ({"valid": np.ones((2, 3))}, r"targets.valid bool \[2, 3\], got float64 \[2, 3\]"),
        ({"mask": None}, r"targets.mask float \[2\], got NoneType"),
        (
            {"masks": np.zeros((2, 3, 8, 8), np.uint8)},
            r"targets.masks uint8 \[2, 3, 16, 16\], got uint8 \[2, 3, 8, 8",
        ),
    ],
)
def test_targets_of_other_types_or_shapes_are_named(changes, message):
    masks = np.zeros((2, 3, 16, 16), np.uint8)
    targets = Targets(np.zeros((2, 3, 4)), np.ones((2, 3), int), np.ones((2, 3), bool), np.ones(2), masks)
    check_targets(targets, (2, 16, 16))
    with pytest.raises(ValueError, match=f"expected {message}"):
        check_targets(targets._replace(**changes), (2, 16, 16))


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((0, 16, 16, 3), {}, ValueError, r"expected one image or more, got \[0, 16, 16, 3\]"),
        ((2, 16, 16, 3), {"sizes": jnp.zeros(2, int)}, ValueError, r"expected sizes int \[2, 2\] .*, got \[2\]"),
        ((2, 16, 16, 3), {"train": True}, TypeError, "expected targets to be Targets in training, got NoneType"),
    ],
)
def test_calls_that_no_detector_takes(shape, options, error, message):
    net = create_model("retinanet", backbone="cifar_resnet8", num_classes=3, levels=PYRAMID, image_size=16)
    with pytest.raises(error, match=message):
        net.apply({}, jnp.zeros(shape), **options)
