"""Files of torchvision's detectors: recognised, with old names, with the norms that they were trained with."""

import hashlib
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save, save_file

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import get_spec, published, shapes
from resnet_jax.models.layers import BatchNorm
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import Names
from resnet_jax.weights.recognition import recognise
from resnet_jax.weights.sources.cache import VARIABLE

KINDS = ("retinanet", "fcos", "fasterrcnn", "maskrcnn")
NAMES = [f"{kind}_resnet50_fpn{end}" for kind in KINDS for end in ("", "_v2") if (kind, end) != ("fcos", "_v2")]
# From today's names of torchvision to those before 0.12.
OLD = (
    (r"(fpn\.(?:inner|layer)_blocks\.\d)\.0\.", r"\1."),
    (r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv."),
    (r"(roi_heads\.mask_head)\.(\d)\.0\.", lambda m: f"{m[1]}.mask_fcn{int(m[2]) + 1}."),
    (r"(head\.\w+_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}."),
)


def zeros_of(name, **options):
    """The state dict of a net, as one number in the shapes of its arrays."""
    variables = shapes(create_model(name, **options), 64).variables
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), variables)
    return to_state(zeros, Names("torchvision", get_spec(name).name_tables["torchvision"]))


def with_old_names(state):
    for pattern, new in OLD:
        state = {re.sub(pattern, new, name): x for name, x in state.items()}
    return state


@pytest.mark.parametrize("name", NAMES)
def test_a_file_without_a_name_is_recognised(name):
    """For any number of classes and input channels, and with the names of older files."""
    state = zeros_of(name, num_classes=7, in_channels=1)
    assert recognise(state).names[0] == name
    if not name.endswith("_v2") and not name.startswith("fcos"):
        assert with_old_names(state).keys() != state.keys()
        assert recognise(with_old_names(state)).names[0] == name


def test_a_stranger_is_not_recognised():
    """Keypoint R-CNN has the arrays of Faster R-CNN and a head more."""
    state = zeros_of("fasterrcnn_resnet50_fpn")
    keypoints = {"roi_heads.keypoint_head.0.weight": np.broadcast_to(np.float32(0), (512, 256, 3, 3))}
    assert recognise(state | keypoints) is None


SMALL = {"backbone": "resnet18", "num_classes": 4, "fpn_features": 8}
NETS = {
    "retinanet": {"head_depth": 1},
    "fcos": {"head_depth": 1, "head_groups": 4},
    "fasterrcnn": {"box_dense": (6, 6)},
    "maskrcnn": {"box_dense": (6, 6), "mask_convs": (4, 4), "mask_features": 4},
}


def check_equal(one, other):
    a, b = (flatten_dict(dict(x), sep="/") for x in (one, other))
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


@pytest.mark.parametrize("kind", NETS)
def test_files_are_read_back_to_the_bit_also_with_old_names_and_for_other_classes(tmp_path, kind):
    model, rng = create_model(kind, **SMALL, **NETS[kind]), np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.random(x.shape, np.float32) + 0.1, shapes(model, 64).variables)
    path = tmp_path / "weights.safetensors"
    save_torch_state(variables, model, path, "torchvision")
    loaded = load_pretrained(path, model=model)
    assert loaded.model == model and not loaded.notes
    check_equal(loaded.variables, variables)
    state = load_file(path)
    old = {name: x for name, x in with_old_names(state).items() if not name.endswith("num_batches_tracked")}
    save_file(old, path)
    loaded = load_pretrained(path, model=model)
    check_equal(loaded.variables, variables)
    # An unknown file: its norms are constants, and nothing says their epsilon.
    assert loaded.model.backbone.frozen_norms == ("all",) and loaded.model.backbone.norm is BatchNorm
    assert loaded.notes[-1] == "norms of torchvision's detectors may have epsilon 0; nets have 1e-5 by default"
    other = load_pretrained(path, model=model, num_classes=6)
    assert other.model.num_classes == 6 and "the head for 6 classes is new" in " ".join(other.notes)
    flat, same = flatten_dict(other.variables, sep="/"), flatten_dict(variables, sep="/")
    changed = {name.split("/")[-2] for name in flat if flat[name].shape != same[name].shape}
    heads = {"cls_score", "bbox_pred", "mask_fcn_logits"} if "rcnn" in kind else {"cls_logits"}
    assert changed == (heads if kind != "fasterrcnn" else heads - {"mask_fcn_logits"})


def test_published_weights_have_their_epsilon_by_name_and_by_checksum(tmp_path, monkeypatch):
    """Pretrained nets from a file in the cache; a copy under another name is an unknown file."""
    name = "retinanet_resnet50_fpn"
    state = {key: x for key, x in zeros_of(name).items() if not key.endswith("num_batches_tracked")}
    body = save({key: np.ascontiguousarray(x) for key, x in state.items()})
    digest = hashlib.sha256(body).hexdigest()[:8]
    (row,) = published.published(name)
    assert row.norm_epsilon == 0
    row = replace(row, url=f"https://localhost/{name}-{digest}.pth", checksum=digest)
    monkeypatch.setattr(published, "_table", lambda: {name: (row,)})
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "torchvision").mkdir()
    (file := tmp_path / "torchvision" / f"{name}-{digest}.pth").write_bytes(body)
    model, variables, preprocess, loaded_name = create_model(name, pretrained=True)
    assert loaded_name == name and preprocess == row.preprocess
    assert model.backbone.norm.keywords == {"epsilon": 0.0} and model.backbone.frozen_norms == ("all",)
    by_checksum = load_pretrained(file)
    assert by_checksum.model == model and len(by_checksum.classes) == 90 and by_checksum.classes[0] == "person"
    renamed = file.rename(tmp_path / "mine.pth")
    unknown = load_pretrained(renamed)
    assert unknown.name == name and unknown.model.backbone.norm is BatchNorm
    assert "may have epsilon 0" in unknown.notes[-1]
