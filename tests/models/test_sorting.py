"""Order of names."""

from resnet_jax.models import natural_key, sort_components


def test_numbers_sort_by_value_and_components_from_the_image_on():
    assert sorted(["stage1_block10", "stage1_block2"], key=natural_key) == ["stage1_block2", "stage1_block10"]
    names = ["stem", "stage1_block0", "stage1_block2", "stage1_block10", "stage2_block0", "head"]
    assert sort_components(sorted(names)) == names
