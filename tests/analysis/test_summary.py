import json
from dataclasses import replace

import pytest
import recipe

from resnet_jax import list_models, summary
from resnet_jax.analysis.summary import totals
from resnet_jax.models import create_model, get_spec

COUNTS = json.loads((recipe.GOLDEN / "counts.json").read_text())  # test_registry compares them


# Counts of nets without published ones follow from those of their twins.
CONVS = [(16, 16)] * 7 + [(16, 32)] + [(32, 32)] * 5 + [(32, 64)] + [(64, 64)] * 5  # cifar_resnet20 without its stem


def published(name):
    return COUNTS[name]["parameters"]


def gates(blocks, convs):
    """Parameters of feed-forward gates in a CIFAR net: 3x3 convolutions with norms, and one dense layer, per block."""
    inputs = [16] * (blocks + 1) + [32] * blocks + [64] * (blocks - 1)
    return sum(convs * (9 * c * c + 2 * c) + c + 1 for c in inputs)


def recurrent(inputs):
    """Embeddings to ten numbers, dense layers from them, and one LSTM of ten."""
    return sum(10 * c + 10 + 11 for c in inputs) + 4 * 10 * (10 + 10) + 4 * 10


def highway(layers):
    """A 3x3 gate with biases for each block of the residual net."""
    n = (layers - 2) // 6
    pairs = [(16, 16)] * n + [(16, 32)] + [(32, 32)] * (n - 1) + [(32, 64)] + [(64, 64)] * (n - 1)
    return published(f"cifar_resnet{layers}") + sum(9 * ci * co + co for ci, co in pairs)


def between(near, far, share, option=""):
    """Counts grow linearly with depth."""
    a, b = published(f"cifar_resnet{near}{option}"), published(f"cifar_resnet{far}{option}")
    return a + (b - a) * share


def slices(features):
    """Three Res2Net bottlenecks a stage, four slices in each; the first of a stage has a projection too."""
    total, channels = 0, 16
    for c in features:
        w = c // 4 * 26 // 64
        for block in range(3):
            ci = channels if block == 0 else c
            total += ci * 4 * w + 8 * w + 3 * (9 * w * w + 2 * w) + 4 * w * c + 2 * c
        total += channels * c + 2 * c
        channels = c
    return total


def bottlenecks(features):
    total, channels = 0, 16
    for c in features:
        w = c // 4
        for block in range(3):
            ci = channels if block == 0 else c
            total += ci * w + 2 * w + 9 * w * w + 2 * w + w * c + 2 * c
        total += channels * c + 2 * c
        channels = c
    return total


# Input channels, kernel size and output channels of each block of EfficientNet-B0's last three stages.
BLOCKS_OF_B0 = [(80, 5, 112), *[(112, 5, 112)] * 2, (112, 5, 192), *[(192, 5, 192)] * 3, (192, 3, 320)]
STEM, HEAD29 = 27 * 16 + 32, 256 * 10 + 10
BLOCKS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3)}
CLOSED = {
    **{f"cifar_resnet38{option}": between(32, 44, 1 / 2, option) for option in ("", "_b", "_c")},
    **{f"cifar_resnet74{option}": between(56, 110, 1 / 3, option) for option in ("", "_b", "_c")},
    **{f"cifar_highway{layers}": highway(layers) for layers in (20, 32, 56)},
    "cifar_res2net29": STEM + slices((64, 128, 256)) + HEAD29,
    "cifar_resnet29": STEM + bottlenecks((64, 128, 256)) + HEAD29,
    # Four kernels instead of one, and their routing.
    "cifar_condconv20": published("cifar_resnet20")
    + sum(3 * 9 * ci * co + 4 * (ci + 1) for ci, co in [(3, 16), *CONVS[1:]]),
    "cifar_skipnet38": between(32, 44, 1 / 2) + gates(6, 2),
    "cifar_skipnet74": between(56, 110, 1 / 3) + gates(12, 2),
    "cifar_skipnet110": published("cifar_resnet110") + gates(18, 1),
    "cifar_skipnet38_rnn": between(32, 44, 1 / 2) + recurrent([16] * 7 + [32] * 6 + [64] * 5),
    "cifar_skipnet74_rnn": between(56, 110, 1 / 3) + recurrent([16] * 13 + [32] * 12 + [64] * 11),
    "cifar_skipnet110_rnn": published("cifar_resnet110") + recurrent([16] * 19 + [32] * 18 + [64] * 17),
    **{
        f"skipnet{layers}": published(f"resnet{layers}")
        + recurrent([64] + [256] * a + [512] * b + [1024] * c + [2048] * (d - 1))
        for layers, (a, b, c, d) in BLOCKS.items()
    },
}


@pytest.mark.parametrize("name", CLOSED)
def test_parameters_follow_from_those_of_the_twin(name):
    assert totals(name).parameters == CLOSED[name]


def test_every_net_or_an_equal_one_has_a_count():
    models = {create_model(name) for name in (*COUNTS, *CLOSED)}
    names = [name for name in list_models() if not get_spec(name).is_dense]
    assert [name for name in names if create_model(name) not in models] == []


def test_stages_and_blocks_add_up():
    s = summary("resnet50")
    assert list(s.stages) == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert s.stages["stage2"].output == (28, 28, 512)
    for column in ("parameters", "statistics", "macs", "other_macs"):
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


def test_a_net_of_series_is_summed_up_as_one_of_images():
    net = create_model("resnet18", num_classes=5, in_channels=4)
    counts = summary(net, (256,))
    norms, last = 9_600, 512 * 5 + 5
    basic = [(64, 64)] * 4 + [(64, 128)] + [(128, 128)] * 3 + [(128, 256)] + [(256, 256)] * 3
    basic += [(256, 512)] + [(512, 512)] * 3
    weights = 7 * 4 * 64 + sum(3 * ci * co for ci, co in basic) + 64 * 128 + 128 * 256 + 256 * 512
    assert counts.parameters == weights + norms + last
    assert counts.stages["stage2"].output == (32, 128)
    assert str(counts).startswith("ResNet, 256 positions") and " 32 x 128 " in str(counts)
    assert str(summary("cifar_resnet8", (8, 16, 24))).startswith("cifar_resnet8, 8 x 16 x 24 pixels")


def test_the_default_image_size_is_the_published_one():
    assert summary("cifar_resnet20").image_size == 32
    assert summary("resnet18", image_size=64).macs < summary("resnet18").macs / 10


def test_multiply_adds_that_published_counts_exclude_are_reported_apart():
    counts = summary("ecaresnet50d")
    assert counts.other_macs == sum(n * c * k for n, c, k in ((3, 256, 5), (4, 512, 5), (6, 1024, 5), (3, 2048, 7)))
    assert f"and {counts.other_macs:,} multiply-adds" in str(counts)
    assert summary("resnet50").other_macs == 0


def test_a_conditional_net_costs_its_twin_its_routing_and_the_making_of_its_kernels():
    """Yang et al. 2019, section 3.1: four kernels are mixed for each example, then convolved with it."""
    twin, conditional = summary("cifar_resnet20"), summary("cifar_condconv20")
    convs = [(3, 16), *CONVS[1:]]
    routing, mixing = sum(4 * ci for ci, _ in convs), sum(4 * 9 * ci * co for ci, co in convs)
    assert conditional.macs == twin.macs + routing + mixing == 41_624_332
    assert conditional.other_macs == twin.other_macs == 0


@pytest.mark.parametrize(("experts", "total"), [(4, 396_513_888), (8, 407_213_024)])
def test_an_efficientnet_with_experts_costs_about_what_its_paper_prints(experts, total):
    """Yang et al. 2019, abstract: 413 M with eight experts, of which B0 itself has 391 M by the authors' count."""
    twin, conditional = summary("tf_efficientnet_b0"), summary(f"tf_efficientnet_cc_b0_{experts}e")
    kernels = sum(6 * c * c + k * k * 6 * c + 6 * c * o for c, k, o in BLOCKS_OF_B0)
    routing = experts * sum(c for c, _, _ in BLOCKS_OF_B0)
    assert conditional.macs == twin.macs + experts * kernels + routing == total
    assert experts == 4 or conditional.macs == pytest.approx(413e6, rel=0.015)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain18", "cifar_resnet44_b", "skipnet50", "resnet50d"])
def test_totals_equal_the_summary(name):
    whole, short = summary(name), totals(name)
    assert replace(short.total, output=()) == replace(whole.total, output=())
    assert short.image_size == whole.image_size
