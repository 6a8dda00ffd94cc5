"""torchvision's FCN and DeepLabV3 on ResNet-50: logits, losses and gradients in float64."""

import numpy as np
import pytest
import recipe
import segmentation

from resnet_jax import summary
from resnet_jax.models import create_model

COUNTS = {  # parameters, and multiply-adds at 520 x 520 pixels, as torchvision publishes them
    "fcn_resnet50": (35_322_218, "152.717"),
    "fcn_resnet101": (54_314_346, "232.738"),
    "deeplabv3_resnet50": (42_004_074, "178.722"),
    "deeplabv3_resnet101": (60_996_202, "258.743"),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    counts = summary(name)
    assert (counts.parameters, f"{counts.macs / 1e9:.3f}") == COUNTS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_numbers_are_torchvisions(x64, name):
    golden = np.load(recipe.GOLDEN / "dense" / f"{name}.npz")
    model = create_model(name, dtype="float64", param_dtype="float64", dropout_rate=0.0)
    logits, loss, norms, _ = segmentation.numbers(model, name, (97, 129))
    for key, x in logits.items():
        np.testing.assert_allclose(x[:, :, ::24, ::24], golden[key], rtol=0, atol=1e-8 * np.abs(golden[key]).max())
        assert abs(np.linalg.norm(x) / golden[f"{key}_norm"] - 1) < 1e-8
    assert abs(loss / golden["train_loss"] - 1) < 1e-8
    segmentation.check_gradients(norms, golden["grad_norm_names"], golden["grad_norms"])
