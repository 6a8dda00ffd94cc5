"""What timm and torch write, downloaded from servers on this machine: the numbers and the preprocessing are theirs."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from web_server import Page

from resnet_jax import create_model, load_pretrained
from resnet_jax.models.published import find

pytestmark = pytest.mark.parity
IMAGES = np.random.default_rng(0).random((2, 96, 96, 3), np.float32)


def check_logits(loaded, net):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2))).numpy()
    actual = loaded.model.apply(loaded.variables, IMAGES, train=False).logits
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("safe", [True, False])
def test_a_repository_as_timm_writes_it(hub, tmp_path, safe):
    timm = pytest.importorskip("timm")
    net = timm.create_model("resnet18.a2_in1k")
    timm.models.save_for_hf(net, tmp_path / "folder", safe_serialization=safe)
    files = {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()}
    hub.add_repository("timm/resnet18.a2_in1k", files)
    hub.add_repository("me/fine-tuned", files)
    loaded = create_model("resnet18", pretrained="a2_in1k")
    check_logits(loaded, net)
    config = timm.data.resolve_model_data_config(net, use_test_size=True)
    for preprocess in (loaded.preprocess, load_pretrained("me/fine-tuned").preprocess):
        assert (3, preprocess.image_size, preprocess.image_size) == config["input_size"]
        assert preprocess.resize == int(preprocess.image_size / config["crop_pct"])
        assert (preprocess.mean, preprocess.std) == (config["mean"], config["std"])
        assert (preprocess.interpolation, preprocess.crop_mode) == (config["interpolation"], config["crop_mode"])


def test_a_file_as_torch_writes_it(site, cache, publish):
    torch, torchvision = pytest.importorskip("torch"), pytest.importorskip("torchvision")
    net, file = torchvision.models.resnet18(), io.BytesIO()
    torch.save(net.state_dict(), file)
    digest = hashlib.sha256(file.getvalue()).hexdigest()[:8]
    site.pages[f"/resnet18-{digest}.pth"] = Page(file.getvalue())
    row = find("resnet18", "IMAGENET1K_V1")
    publish(replace(row, url=f"{site.address}/resnet18-{digest}.pth", checksum=digest))
    loaded = create_model("resnet18", pretrained="IMAGENET1K_V1")
    check_logits(loaded, net)
    transforms = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    preprocess = loaded.preprocess
    assert [preprocess.image_size, preprocess.resize] == transforms.crop_size + transforms.resize_size
    assert (preprocess.mean, preprocess.std) == (tuple(transforms.mean), tuple(transforms.std))
    assert loaded.classes == tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
