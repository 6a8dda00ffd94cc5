"""Options of a net are checked and converted however the net is made."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models import Stage, create_model
from resnet_jax.models.blocks import Residual


@pytest.mark.parametrize("field", ["num_classes", "in_channels", "image_size", "stem_features"])
def test_numpys_integers_are_integers_and_booleans_are_not(field):
    net = create_model("resnet18", **{field: np.int64(7)})
    assert net == create_model("resnet18", **{field: 7})
    assert type(getattr(net.clone(**{field: np.int8(7)}), field)) is int
    for wrong in (True, np.True_, 7.0, -1, "7", None):
        for make in (partial(create_model, "resnet18"), net.clone):
            with pytest.raises(ValueError, match=f"{field}: expected a whole number, at least ., got "):
                make(**{field: wrong})


def test_options_are_checked_however_a_net_is_made():
    net = create_model("cifar_resnet8")
    for options, message in (
        ({"drop_path": 1.0}, "drop_path: expected a rate"),
        ({"dtype": "int8"}, "dtype: expected float32"),
        ({"dilation": "torch"}, "dilation: expected timm, resample or smp"),
        ({"frozen_norms": "stage9"}, "frozen_norms: expected all, stem"),
        (
            {"stages": [Stage(1, np.int64(8), 1, Residual)], "frozen_norms": ("stage2",)},
            "expected all, stem, stage1 or head",
        ),
        ({"bn_axis": "data", "bn_group_size": True}, "bn_group_size: expected a whole number, at least 1, got True"),
    ):
        with pytest.raises(ValueError, match=message):
            net.clone(**options)
    with pytest.raises(ValueError, match="strides: expected a whole number, at least 1, got 0"):
        Stage(1, 8, 0, Residual)
    assert net.clone(dtype="bfloat16") == create_model("cifar_resnet8", dtype=jnp.bfloat16)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("resnet5o", {}), ValueError, "no model named 'resnet5o'; did you mean resnet50"),
        (("resnet50", {"pretrained": True}), TypeError, 'resnet_jax.create_model("resnet50", pretrained=True) returns'),
        (("resnet50", {"num_clases": 3}), TypeError, "no option 'num_clases'; did you mean num_classes"),
        (("resnet50", {"stem": "cifr"}), ValueError, "stem: expected imagenet, cifar, deep or halving, got 'cifr'"),
        (("resnet50", {"remat": "all"}), ValueError, "remat: expected none, block or stage, got 'all'"),
        (("resnet50", {"dilation": "timn"}), ValueError, "dilation: expected timm, resample or smp, got 'timn'"),
        (("resnet50", {"output_stride": 3}), ValueError, "output_stride: expected None, 1, 2, 4, 8, 16 or 32, got 3"),
        (("resnet50", {"frozen_norms": ("stage5",)}), ValueError, "frozen_norms: expected all, stem, stage1"),
        (("resnet50", {"drop_path": 1.0}), ValueError, "drop_path: expected a rate in [0, 1), got 1.0"),
        (("resnet50", {"num_classes": -1}), ValueError, "num_classes: expected a whole number, at least 0, got -1"),
        (("resnet50", {"bn_group_size": 2}), ValueError, "counts devices along bn_axis; expected bn_axis, got None"),
        (("resnet50", {"dtype": "float23"}), ValueError, "float16 or float64, got 'float23'"),
        (("resnet50", {"dtype": "int32"}), ValueError, "dtype: expected float32, bfloat16"),
        (("resnet50", {"dtype": None}), ValueError, "dtype: expected float32, bfloat16, float16 or float64, got None"),
        (("resnet50", {"num_classes": 2.5}), ValueError, "num_classes: expected a whole number, at least 0, got 2.5"),
        (("resnet50", {"drop_rate": "0.1"}), ValueError, "drop_rate: expected a rate in [0, 1), got '0.1'"),
        (("resnet50", {"frozen_norms": None}), ValueError, "frozen_norms: expected a sequence of stage names"),
        (("resnet50", {"stages": None}), ValueError, "stages: expected a sequence of Stage(...)s, got None"),
        (("resnet50", {"output_stride": np.array([16])}), ValueError, "output_stride: expected None, 1, 2, 4, 8, 16"),
        (("resnet50", {"conv": "CondConv"}), ValueError, "conv: expected a module class or a function, got 'CondConv'"),
    ],
)
def test_an_invalid_option_raises_with_the_nearest_choice(arguments, error, message):
    name, overrides = arguments
    with pytest.raises(error) as caught:
        create_model(name, **overrides)
    assert message in str(caught.value)
