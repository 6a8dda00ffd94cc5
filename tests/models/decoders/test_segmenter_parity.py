"""Segmenters of torchvision and segmentation_models_pytorch themselves: numbers, and files both ways. `-m parity`."""

import numpy as np
import pytest
import segmentation

from resnet_jax import create_model, load_pretrained
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.safetensors_file import write_safetensors

pytestmark = pytest.mark.parity
NETS = [
    *((name, "resnet50") for name in ("fcn", "deeplabv3")),
    *((name, "resnet18") for name in ("deeplabv3plus", "pspnet", "upernet", "unet")),
    ("deeplabv3plus", "resnet50"),
    ("unet", "resnext50_32x4d"),
]
SIZE, CLASSES = (64, 96), 5


@pytest.mark.parametrize(("name", "backbone"), NETS)
def test_numbers_and_files_are_the_librarys(x64, name, backbone, tmp_path):
    pytest.importorskip("torch")
    torch_segmenters = pytest.importorskip("torch_segmenters")
    net = torch_segmenters.torch_net(name, backbone, CLASSES)
    golden_logits, golden_loss, golden_norms, golden_means = torch_segmenters.numbers(net, SIZE, CLASSES)

    options = {} if name in ("upernet", "unet") else {"dropout_rate": 0.0}
    model = create_model(
        name, backbone=backbone, num_classes=CLASSES, dtype="float64", param_dtype="float64", **options
    )
    assert segmentation.parameters(model) == sum(x.numel() for x in net.parameters())
    logits, loss, norms, means = segmentation.numbers(model, name, SIZE, CLASSES)
    for key, golden in golden_logits.items():
        np.testing.assert_allclose(logits[key], golden, rtol=0, atol=1e-8 * np.abs(golden).max())
    assert abs(loss / golden_loss - 1) < 1e-8
    segmentation.check_gradients(norms, list(golden_norms), list(golden_norms.values()))
    for key, golden in golden_means.items():  # PSPNet's files have stages that it does not use
        np.testing.assert_allclose(means[key], golden, rtol=1e-8, atol=1e-8, err_msg=key)

    variables = segmentation.recipe_variables(model, name)
    state = to_state(variables, segmentation.names_of(name))
    counters = {key: np.zeros((), np.int64) for key in net.state_dict() if key.endswith("num_batches_tracked")}
    assert set(state) | set(counters) == set(net.state_dict())
    path = tmp_path / "net.safetensors"
    write_safetensors(state | counters, path, {})
    again = load_pretrained(path, model=model, dtype="float64")
    assert again.model.num_classes == CLASSES
    for key, x in to_state(again.variables, segmentation.names_of(name)).items():
        np.testing.assert_array_equal(x, state[key])
