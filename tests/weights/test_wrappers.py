"""The net in a file: below other keys, behind prefixes, beside other arrays."""

from copy import copy
from pathlib import Path

import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import load_pretrained
from resnet_jax.errors import AmbiguousWeights, UnreadableWeights
from resnet_jax.weights.readers import StoredArray, WeightFile
from resnet_jax.weights.wrappers import FROZEN, unwrap

NAMES = [name for name in recipe.float32_state("resnet18") if "num_batches" not in name]
BODY = [name for name in NAMES if not name.startswith("fc.")]


def file_with(*names):
    """A file of scalars with these names."""
    one = StoredArray((), np.dtype(np.float32), lambda: np.ones((), np.float32))
    return WeightFile(Path("x.pth"), dict.fromkeys(names, one), "torch")


def under(prefix, names=NAMES):
    return [f"{prefix}{name}" for name in names]


@pytest.mark.parametrize(
    "prefix",
    ["state_dict.", "model.", "module.", "_orig_mod.", "net.", "state_dict.model.", "state_dict.module.backbone.",
     "model.backbone.body.", "anything.at.all."],
)  # fmt: skip
def test_keys_and_prefixes_are_seen_through(prefix):
    assert unwrap(file_with(*NAMES)).prefix == ""
    net = unwrap(file_with(*under(prefix), "optimizer.state.0.exp_avg", "epoch"))
    assert list(net.tensors) == NAMES and net.prefix == prefix and not net.dropped and not net.losses
    assert net.notes[0] == f"names are read without their prefix {prefix!r}"


@pytest.mark.parametrize("keys", [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("student", "teacher")])
@pytest.mark.parametrize("names", [NAMES, ["a.weight"]])
def test_raw_and_averaged_weights_need_a_choice(keys, names):
    raw, averaged = keys
    both = file_with(*under(f"{raw}.", names), *under(f"{averaged}.", names))
    message = rf"^x.pth has raw weights \('{raw}'\) and averaged ones \('{averaged}'\); expected ema=False or ema=True$"
    with pytest.raises(AmbiguousWeights, match=message):
        unwrap(both)
    for number, key in enumerate(keys):
        net = unwrap(both, ema=bool(number))
        assert net.prefix == f"{key}." and not net.dropped and not net.losses
        assert net.notes[1] == f"the {'raw' if number else 'averaged'} weights in the file are not read"
        alone = file_with(*under(f"{key}.", names))
        assert unwrap(alone).prefix == unwrap(alone, ema=bool(number)).prefix == f"{key}."
        kind = "raw" if number else "averaged"
        with pytest.raises(
            UnreadableWeights, match=f"^x.pth has no {kind} weights; expected ema=None or ema={number == 1}"
        ):
            unwrap(alone, ema=not number)


@pytest.mark.parametrize(
    ("prefix", "others", "dropped"),
    [
        ("state_dict.module.encoder_q.", [*under("state_dict.module.encoder_k."), "state_dict.module.queue"],
         {"state_dict.module.encoder_q.fc": 2, "state_dict.module.encoder_k": len(NAMES),
          "state_dict.module.queue": 1}),
        ("module.", ["module.projection_head.0.weight", "module.prototypes.weight"],
         {"module.projection_head": 1, "module.prototypes": 1}),
        ("teacher.backbone.", ["teacher.head.mlp.0.weight", "teacher.head.last_layer.weight_g"], {"teacher.head": 2}),
        ("online_encoder.", [*under("target_encoder.", BODY), "predictor.0.weight"],
         {"online_encoder.fc": 2, "target_encoder": len(BODY), "predictor": 1}),
        ("backbone.body.", ["backbone.fpn.inner_blocks.0.0.weight", "rpn.head.conv.0.0.weight"],
         {"backbone.fpn": 1, "rpn": 1}),
        ("backbone.", ["classifier.0.weight", "aux_classifier.0.weight"], {"classifier": 1, "aux_classifier": 1}),
    ],
)  # fmt: skip
def test_what_is_not_the_net_is_dropped_and_named(prefix, others, dropped):
    net = unwrap(file_with(*under(prefix), *others))
    assert list(net.tensors) == (BODY if f"{prefix}fc" in dropped else NAMES)
    assert dict(net.dropped) == dropped
    assert all(name in net.losses for name in dropped)


def test_what_is_dropped_is_one_short_sentence_by_kind():
    moco = file_with(*under("module.encoder_q."), *under("module.encoder_k."), "module.queue", "module.queue_ptr")
    assert unwrap(moco).losses == (
        "skipped what is not part of the net: momentum encoder (module.encoder_k), "
        "queue (module.queue, module.queue_ptr), head (module.encoder_q.fc)"
    )
    others = [f"tower{i}.{leaf}" for i in range(5) for leaf in ("weight", "bias")]
    assert unwrap(file_with(*under("backbone.", BODY), *others)).losses == (
        "skipped what is not part of the net: tower0 (2 arrays), tower1 (2 arrays), tower2 (2 arrays) and 2 more"
    )


def test_raw_weights_below_no_key_are_the_other_weights_of_an_average():
    ours = ["params/stem/conv/kernel", "params/stage1_block0/branch/conv1/kernel", "batch_stats/stem/norm/mean"]
    for names in (NAMES, ours):
        file = file_with(*names, *under("ema.", names), "opt_state/0/mu/params/stem/conv/kernel")
        net = unwrap(file, ema=True)
        assert list(net.tensors) == names and not net.dropped
        assert net.notes == ("names are read without their prefix 'ema.'", "the raw weights in the file are not read")


def test_two_nets_are_not_chosen_between():
    with pytest.raises(AmbiguousWeights, match="^x.pth has 2 nets: 'left' and 'right'; expected a file with one$"):
        unwrap(file_with(*under("left."), *under("right.")))


def test_openais_towers_are_one_net():
    names = under("visual.", BODY)
    net = unwrap(file_with(*under("module.", names), "module.transformer.weight"))
    assert list(net.tensors) == [*names, "transformer.weight"]


def test_loading_reports_what_is_dropped(tmp_path):
    state = {f"module.{name}": x for name, x in recipe.float32_state("resnet18").items()}
    save_file(state | {"module.prototypes.weight": np.ones(3)}, path := tmp_path / "resnet18.safetensors")
    message = r"^resnet18.safetensors: skipped what is not part of the net: projection head \(module.prototypes\)$"
    with pytest.warns(UserWarning, match=message):
        loaded = load_pretrained(path)
    assert loaded.notes[0] == "names are read without their prefix 'module.'" and len(loaded.notes) == 2
    assert copy(loaded).notes == loaded._replace(name="x").notes == loaded.notes


def test_norms_of_torchvisions_detectors_are_noted():
    """Those of 2019 have the epsilon 0 and no counters of batches."""
    under_body = under("backbone.body.")
    assert unwrap(file_with(*under_body)).notes[1:] == (FROZEN,)
    assert unwrap(file_with(*under_body, "backbone.body.bn1.num_batches_tracked")).notes[1:] == ()
    assert unwrap(file_with(*under("backbone."))).notes[1:] == ()
