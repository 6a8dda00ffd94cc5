import pytest

from resnet_jax.config import Config, ModelConfig
from resnet_jax.runs.planning.model_options import parse_options
from resnet_jax.runs.planning.plan import make_plan, model_overrides


def test_values_are_literals_or_texts():
    texts = ("fpn_features=64", "levels=stage2,stage3", "anchor_sizes=((16, 20), (32, 40))", "box_loss=giou", "x=None")
    assert parse_options(texts) == {
        "fpn_features": 64,
        "levels": ("stage2", "stage3"),
        "anchor_sizes": ((16, 20), (32, 40)),
        "box_loss": "giou",
        "x": None,
    }
    overrides = model_overrides(ModelConfig(options=("stem_features=8",)), num_classes=3, in_channels=1)
    assert overrides["stem_features"] == 8 and "options" not in overrides and overrides["num_classes"] == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("fpn_features",), "expected NAME=VALUE, as fpn_features=64, got 'fpn_features'"),
        (("=64",), "expected NAME=VALUE"),
        (("num_classes=3",), "the data decides num_classes"),
        (("remat=block",), "expected --model.remat block"),
        (("a=1", "a=2"), "has a twice"),
        (("name=x",), "--model.options name=x: name is for submodules; expected another option"),
        (("stem_features=0",), "--model.options stem_features: expected a whole number, at least 1, got 0"),
        (
            ("stem_feature=8",),
            "--model.options: cifar_resnet20 has no option 'stem_feature'; did you mean stem_features",
        ),
    ],
)
def test_mistakes_get_a_line(texts, message):
    with pytest.raises(ValueError, match=message):
        make_plan(Config(model=ModelConfig(options=texts)))
