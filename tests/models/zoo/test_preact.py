"""Pre-activation nets: depths, widths and endings."""

import pytest
import recipe

from resnet_jax.models import components, create_model
from resnet_jax.models.heads import NormHead
from resnet_jax.models.layers import BatchNorm, GroupNorm, StandardizedConv
from resnet_jax.models.stems import PaddedMaxPool


@pytest.mark.parametrize(
    ("name", "layers"),
    [("cifar_preresnet110", 110), ("cifar_wrn16_4", 16), ("resnetv2_50", 50)],
)
def test_the_number_in_a_name_counts_the_layers(name, layers):
    """The paper counts wide nets as 6n + 4 layers, with the shortcuts of two stages."""
    assert recipe.weighted_layers(create_model(name)) + 2 * ("wrn" in name) == layers


@pytest.mark.parametrize(("name", "width"), [("cifar_wrn16_4", 4), ("cifar_wrn28_10", 10), ("cifar_wrn40_2", 2)])
def test_wide_nets_are_as_many_times_as_wide(name, width):
    assert [stage.features for stage in create_model(name).stages] == [16 * width, 32 * width, 64 * width]


def test_bit_has_group_norms_standardised_kernels_and_zeros_around_its_pool():
    classes = components(create_model("resnetv2_50x1_bit"))
    assert {GroupNorm, StandardizedConv, PaddedMaxPool, NormHead} <= classes and BatchNorm not in classes
    wide = create_model("resnetv2_50x3_bit")
    assert [stage.features for stage in wide.stages] == [768, 1536, 3072, 6144] and wide.stem_features == 192
