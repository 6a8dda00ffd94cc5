"""EfficientNets by compound scaling."""

import pytest

from resnet_jax.models.zoo.efficientnet import efficientnet


def test_efficientnets_of_any_scale():
    """Table 1 of the paper, wider and deeper; the last is B7."""
    for scales, features, depths in (
        ((1.0, 1.0, 224), (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
        ((1.5, 1.2, 224), (24, 40, 64, 120, 168, 288, 480), (2, 3, 3, 4, 4, 5, 2)),
        ((2.0, 3.1, 600), (32, 48, 80, 160, 224, 384, 640), (4, 7, 7, 10, 10, 13, 4)),
    ):
        model = efficientnet(*scales)()
        assert tuple(stage.features for stage in model.stages) == features
        assert tuple(stage.depth for stage in model.stages) == depths
        assert model.image_size == scales[2]
    for scales in ((0, 1, 224), (1.0, -1.0, 224), (1.0, 1.0, 0)):
        with pytest.raises(ValueError, match="expected (width|depth|resolution) above 0, got"):
            efficientnet(*scales)
