"""Every net of timm and torchvision: the library loads our file strictly, and logits are compared.

Run by `pytest -m parity`, after `pip install torch==2.13.0 timm` and `pip install --no-deps torchvision`.

`PARITY_NETS` may be a pattern of names ("resnet5*").
"""

import os
from fnmatch import fnmatchcase
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax import create_model, list_models, load_pretrained, save_torch_state
from resnet_jax.models import get_spec

pytestmark = pytest.mark.parity
NAMES = [
    name
    for name in list_models()
    if not get_spec(name).is_dense and fnmatchcase(name, os.environ.get("PARITY_NETS", "*"))
]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def timm(torch):
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # built for another torch: its import needs these operators
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("timm")


def compare(name, layout, theirs, torch, tmp_path, size, **constants):
    """Compares `theirs`, with our file, and our net in float64. `size` is a side in pixels, or height and width."""
    model = create_model(name, dtype="float64", param_dtype="float64").clone(**constants)
    variables, path = recipe.variables(model, np.float64), tmp_path / f"{name}.safetensors"
    save_torch_state(variables, name, path, layout=layout)
    state = pytest.importorskip("safetensors.torch").load_file(path)
    theirs = theirs.double().eval()
    fixed = {key for key in theirs.state_dict() if "blur" in key or key.endswith("filt")}
    assert set(theirs.state_dict()) - set(state) <= fixed and set(state) <= set(theirs.state_dict())
    theirs.load_state_dict(theirs.state_dict() | state, strict=True)
    images = np.random.default_rng(0).standard_normal((2, 3, *(size if isinstance(size, tuple) else (size, size))))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images)).numpy()
    path.unlink()
    logits = jax.jit(partial(model.apply, train=False))(variables, jnp.asarray(images.transpose(0, 2, 3, 1))).logits
    assert np.linalg.norm(logits - expected) < 1e-8 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", NAMES)
def test_timm(x64, name, torch, timm, tmp_path):
    if not timm.is_model(name):
        pytest.skip("timm has no such net")
    model = create_model(name)
    size = model.image_size if get_spec(model).family == "clip" else 64
    compare(name, "timm", timm.create_model(name), torch, tmp_path, size)


DILATED = ["resnet18d", "resnet26t", "resnet50", "resnet50d", "resnetaa50", "resnetaa50d", "resnetblur50", "resnetrs50"]
DILATED += ["resnext50d_32x4d", "seresnet18", "ecaresnet50d", "skresnet18", "res2net50_26w_4s", "res2net50d"]
DILATED += ["resnetv2_50", "resnetv2_50d", "resnetv2_50x1_bit", "efficientnet_b0", "tf_efficientnet_b0"]


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", [name for name in DILATED if name in NAMES])
def test_timm_with_an_output_stride(x64, name, stride, torch, timm, tmp_path):
    """At an odd size, where a pool without strides has other borders."""
    theirs = timm.create_model(name, output_stride=stride)
    compare(name, "timm", theirs, torch, tmp_path, (65, 97), output_stride=stride)


@pytest.mark.parametrize("name", NAMES)
def test_torchvision(x64, name, torch, timm, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    if name not in torchvision.models.list_models():
        pytest.skip("torchvision has no such net")
    theirs = torchvision.models.get_model(name)
    source = tmp_path / f"{name}.pth"
    torch.save(theirs.state_dict(), source)
    loaded = load_pretrained(source, dtype="float64")
    source.unlink()
    images = np.random.default_rng(1).standard_normal((2, 3, 64, 64))
    with torch.no_grad():
        expected = theirs.double().eval()(torch.from_numpy(images)).numpy()
    apply = jax.jit(partial(loaded.model.apply, train=False))
    logits = apply(loaded.variables, jnp.asarray(images.transpose(0, 2, 3, 1))).logits
    assert np.linalg.norm(logits - expected) < 1e-8 * np.linalg.norm(expected)
    compare(name, "torchvision", theirs, torch, tmp_path, 64, norm=loaded.model.norm)


@pytest.mark.parametrize("size", [224, 160, 288])
def test_clips_towers_for_other_image_sizes(x64, size, torch, timm, tmp_path):
    """Position embeddings are interpolated as by timm for another image size."""
    theirs = timm.create_model("resnet50_clip", img_size=size) if size != 224 else timm.create_model("resnet50_clip")
    model = create_model("resnet50_clip", dtype="float64", param_dtype="float64")
    variables, path = recipe.variables(model, np.float64), tmp_path / "clip.safetensors"
    save_torch_state(variables, "resnet50_clip", path)
    state = pytest.importorskip("safetensors.torch").load_file(path)
    grid = size // 32
    from timm.layers import resample_abs_pos_embed

    places = resample_abs_pos_embed(state["head.pos_embed"][None], new_size=[grid, grid], num_prefix_tokens=1)[0]
    theirs = theirs.double().eval()
    theirs.load_state_dict(state | {"head.pos_embed": places}, strict=True)
    images = np.random.default_rng(0).standard_normal((2, 3, size, size))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images)).numpy()
    logits = jax.jit(partial(model.apply, train=False))(variables, jnp.asarray(images.transpose(0, 2, 3, 1))).logits
    # timm interpolates in float32.
    assert np.linalg.norm(logits - expected) < 1e-6 * np.linalg.norm(expected)
