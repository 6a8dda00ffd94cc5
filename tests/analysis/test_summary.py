import json

import pytest
import recipe

from resnet_jax import list_models, summary
from resnet_jax.analysis.summary import totals
from resnet_jax.models import create_model

COUNTS = json.loads((recipe.GOLDEN / "counts.json").read_text())


def slow_if_huge(names):
    return [pytest.param(name, marks=pytest.mark.slow if "1202" in name else ()) for name in names]


@pytest.mark.parametrize("name", slow_if_huge(COUNTS))
def test_counts_equal_the_published_ones(name):
    wanted, got = dict(COUNTS[name]), summary(name)
    for unit, digits, key in ((1e9, 3, "gmacs"), (1e6, 2, "mmacs")):
        if key in wanted:
            assert f"{got.macs / unit:.{digits}f}" == f"{wanted.pop(key):.{digits}f}"
    assert {key: getattr(got, key) for key in wanted} == wanted


def test_every_net_has_a_published_count_or_equals_one_that_has():
    models = {create_model(name) for name in COUNTS}
    assert [name for name in list_models() if create_model(name) not in models] == []


def test_stages_and_blocks_add_up():
    s = summary("resnet50")
    assert list(s.stages) == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert s.stages["stage2"].output == (28, 28, 512)
    for column in ("parameters", "statistics", "macs"):
        assert sum(getattr(row, column) for row in s.stages.values()) == getattr(s, column)
        blocks = [getattr(row, column) for name, row in s.blocks.items() if name.startswith("stage3_")]
        assert len(blocks) == 6
        assert sum(blocks) == getattr(s.stages["stage3"], column)


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_a_basic_block_has_18_c2_weights(channels):
    stage = {64: 1, 128: 2, 256: 3, 512: 4}[channels]
    norms = 2 * 2 * channels
    assert summary("resnet18").blocks[f"stage{stage}_block1"].parameters == 18 * channels**2 + norms


@pytest.mark.parametrize("channels", [256, 512, 1024, 2048])
def test_a_bottleneck_has_17_16ths_c2_weights(channels):
    stage = {256: 1, 512: 2, 1024: 3, 2048: 4}[channels]
    norms = 2 * (2 * channels // 4 + channels)
    block = summary("resnet50").blocks[f"stage{stage}_block1"]
    assert block.parameters - norms == 17 * channels**2 // 16
    side = {1: 56, 2: 28, 3: 14, 4: 7}[stage]
    assert block.macs == side**2 * 17 * channels**2 // 16


def test_neither_remat_nor_dtype_changes_the_count():
    base = summary("cifar_resnet20")
    for overrides in ({"remat": "block"}, {"remat": "stage"}, {"dtype": "bfloat16"}):
        assert summary(create_model("cifar_resnet20", **overrides)).total == base.total


def test_the_table_is_readable():
    text = str(summary("resnet50"))
    assert "25,557,032" in text and "4,089,184,256" in text and "56 x 56 x 256" in text


def test_input_size_is_the_published_one_unless_given():
    assert summary("cifar_resnet20").image_size == 32
    assert summary("resnet18", image_size=64).macs < summary("resnet18").macs / 10


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain18", "cifar_resnet44_b", "cifar_resnet32_c"])
def test_totals_of_short_nets_are_those_of_the_whole(name):
    whole, short = summary(name), totals(name)
    assert (short.parameters, short.statistics, short.macs) == (whole.parameters, whole.statistics, whole.macs)
    assert short.image_size == whole.image_size
