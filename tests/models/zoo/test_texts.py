"""Nets of texts: equal to the same equations in PyTorch, names, layers and counts of the papers."""

import copy
import hashlib
import json
import pickle
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import small_texts
from flax.traverse_util import flatten_dict
from small_texts import CLASSES, TOKENS, small_net, variables

from resnet_jax.models import create_model, get_spec, list_models, registered_name, shapes
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.tasks.token_losses import next_token_losses

NAMES = list_models(input_kind="tokens")
ACCEPTED = recipe.GOLDEN / "sequence" / "texts.json"
# Conneau et al. 2017, table 2: convolutions of 64, 128, 256 and 512 channels, the first one not among them.
CONVOLUTIONS = {9: (2, 2, 2, 2), 17: (4, 4, 4, 4), 29: (10, 10, 4, 4), 49: (16, 16, 10, 6)}
# fairseq's fconv_lm, fconv_lm_dauphin_wikitext103 and _gbw: channels and positions of each gated convolution.
GATED = {
    "gcnn13": [(1268, 4)] * 13,
    "gcnn14": [*[(850, 6)] * 3, (850, 1), *[(850, 5)] * 4, (850, 1), *[(850, 4)] * 3, (1024, 4), (2048, 4)],
    "gcnn14b": [
        (512, 5),
        *[(128, 1), (128, 5), (512, 1)] * 3,
        *[(512, 1), (512, 5), (1024, 1)] * 3,
        *[(1024, 1), (1024, 5), (2048, 1)] * 6,
        *[(1024, 1), (1024, 5), (4096, 1)],
    ],
}


@cache
def passes(name):
    """Results by name, as `torch_texts.Oracle.passes` has them."""
    net, tokens = small_net(name), TOKENS

    @jax.jit
    def run(variables):
        def loss(params):
            outputs, updated = net.apply({**variables, "params": params}, tokens, train=True, mutable=["batch_stats"])
            if outputs.logits.ndim == 2:
                value = cross_entropy(outputs.logits, np.arange(len(tokens)) % CLASSES).mean()
            else:
                losses, counts = next_token_losses(outputs.logits, jnp.asarray(tokens))
                value = losses.sum() / counts.sum()
            return value, (outputs.logits, updated.get("batch_stats", {}))

        (value, (logits, updated)), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        evaluated = net.apply(variables, tokens, train=False).logits
        return {"eval": evaluated, "train": logits, "loss": value}, gradient, updated

    results, gradient, updated = run(variables(name))
    for collection, tree in (("params", gradient), ("batch_stats", updated)):
        results |= {f"{collection}/{'/'.join(path)}": x for path, x in flatten_dict(tree).items()}
    return {path: np.asarray(x) for path, x in results.items()}


@pytest.mark.parametrize("name", small_texts.MAKERS)
def test_numbers_are_those_of_the_equations_in_pytorch(x64, name):
    golden, results = np.load(recipe.GOLDEN / "sequence" / "texts.npz"), passes(name)
    expected = {key: golden[f"{name}:{key}"] for key in ("eval", "loss", "gradients", "statistics")}
    gradients = [results[path] for path in sorted(results) if path.startswith("params/")]
    statistics = [results[path].mean() for path in sorted(results) if path.startswith("batch_stats/")]
    ours = {
        "eval": results["eval"] if results["eval"].ndim == 2 else results["eval"][:, ::9],
        "loss": results["loss"],
        "gradients": [np.sqrt(np.square(x).sum()) for x in gradients],
        "statistics": statistics,
    }
    for key, values in expected.items():
        np.testing.assert_allclose(ours[key], values, rtol=1e-9, atol=1e-10, err_msg=key)
    if name.startswith("vdcnn"):
        np.testing.assert_allclose(results["train"], golden[f"{name}:train"], rtol=1e-9, atol=1e-10)


@pytest.mark.parity
@pytest.mark.parametrize("name", small_texts.MAKERS)
def test_every_gradient_and_statistic_is_pytorchs(x64, name):
    from torch_texts import Oracle

    expected, results = Oracle(name).passes(TOKENS), passes(name)
    assert results.keys() == expected.keys()
    for path, values in expected.items():
        ours = results[path]
        np.testing.assert_allclose(ours, values, rtol=1e-9, atol=1e-10 * max(1, np.abs(values).max()), err_msg=path)


@cache
def arrays(name):
    """Shape of every array of a registered net by its path."""
    variables = shapes(create_model(name), get_spec(name).image_size).variables
    return {"/".join(path): x.shape for path, x in flatten_dict(variables).items()}


def describe(name):
    """Path and shape of every array, as a digest."""
    lines = sorted(f"{path} {list(shape)}" for path, shape in arrays(name).items())
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_parameters_do_not_change(name):
    accepted = json.loads(ACCEPTED.read_text())
    assert name in accepted, "a new net; PYTHONPATH=tests/helpers python tests/models/zoo/test_texts.py accepts it"
    assert describe(name) == accepted[name]


@pytest.mark.parametrize("name", NAMES)
def test_equal_nets_are_equal_and_know_their_row(name):
    net, spec = create_model(name), get_spec(name)
    for module in (create_model(name), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert module == net and hash(module) == hash(net)
        assert registered_name(module) == name
    assert spec.input_kind == "tokens" and name not in list_models()
    expected = (1, 4) if name.startswith("vdcnn") else (1, *spec.image_size, net.num_classes)
    outputs = shapes(net, spec.image_size).outputs
    assert outputs.logits.shape == expected and outputs.logits.dtype == np.float32


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("depth", CONVOLUTIONS)
def test_vdcnn_has_the_layers_of_the_table(depth, shortcut):
    sizes, counts = (64, 128, 256, 512), CONVOLUTIONS[depth]
    assert sum(counts) + 1 == depth
    name = f"vdcnn{depth}_shortcut" if shortcut else f"vdcnn{depth}"
    kernels = [shape for path, shape in arrays(name).items() if "/branch/conv" in path]
    assert [sum(shape[-1] == size for shape in kernels) for size in sizes] == list(counts)
    assert {shape[0] for shape in kernels} == {3}
    expected = 69 * 16 + 3 * 16 * 64 + 64
    for size, before, count in zip(sizes, (64, *sizes), counts, strict=False):
        expected += 3 * size * (before + size * (count - 1)) + 2 * size * count
        if shortcut and before != size:
            expected += before * size + 2 * size
    expected += 8 * 512 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 4 + 4
    assert expected == sum(int(np.prod(shape)) for path, shape in arrays(name).items() if path.startswith("params/"))


@pytest.mark.parametrize("name", GATED)
def test_gcnn_has_the_layers_of_the_authors(name):
    kernels = {path: shape for path, shape in arrays(name).items() if "/branch/" in path and path.endswith("/kernel")}
    ours = []
    for block in create_model(name).block_names():
        layers = [kernels.get(f"params/{block}/branch/conv{i}/kernel") for i in (1, 2, 3)]
        ours += [(shape[-1] // 2, shape[0]) for shape in layers if shape is not None]
    assert ours == GATED[name] and len(ours) == len(kernels)
    words, embedding = arrays(name)["params/embedding/embedding"]
    assert words == create_model(name).num_classes
    assert arrays(name)["params/stem/conv/kernel"] == (1, embedding, GATED[name][0][0])
    head = {path.removeprefix("params/head/"): shape for path, shape in arrays(name).items() if "/head/" in path}
    cutoffs = (10_000, 20_000 if name == "gcnn14" else 50_000, 200_000)
    channels, ends = GATED[name][-1][0], (*cutoffs, words)
    assert head.pop("dense/kernel") == (channels, 10_003)
    for i in (1, 2, 3):
        assert head.pop(f"tail{i}_down/kernel") == (channels, channels // 4**i)
        assert head.pop(f"tail{i}_up/kernel") == (channels // 4**i, ends[i] - ends[i - 1])
    assert not head


if __name__ == "__main__":
    ACCEPTED.write_text(json.dumps({name: describe(name) for name in NAMES}, indent=0) + "\n")
