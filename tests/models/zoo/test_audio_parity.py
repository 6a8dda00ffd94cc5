"""The stored numbers of the small nets of sound are PyTorch's and speechbrain's; files as honk writes them."""

import audio_nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import load_pretrained
from resnet_jax.models import create_model

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", audio_nets.SMALL)
def test_every_array_equals_pytorch(x64, name):
    """Outputs of both passes, loss, gradient and statistics, element by element."""
    pytest.importorskip("torch")
    if name == "speaker_seresnet34":
        pytest.importorskip("speechbrain")
    from torch_audio import reference

    expected, actual = reference(name), audio_nets.results(name)
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-8, atol=1e-10 * max(1, np.abs(value).max()), err_msg=key)


HONK = {  # convolutions behind the first one, channels, their dilations, the mean's window: Tang and Lin 2018, table 1
    "res8": (6, 45, [1] * 6, (4, 3)),
    "res8_narrow": (6, 19, [1] * 6, (4, 3)),
    "res15_narrow": (13, 19, [2 ** (i // 3) for i in range(13)], None),
    "res26_narrow": (24, 19, [1] * 24, (2, 2)),
}


def honk_net(torch, count, width, dilations, window):
    """The paper's net with the names of honk's arrays: conv0 to conv{n} without bias, bn1 to bn{n}, output."""
    layers = {"conv0": torch.nn.Conv2d(1, width, 3, padding=1, bias=False), "output": torch.nn.Linear(width, 12)}
    for i, dilation in enumerate(dilations, 1):
        layers[f"conv{i}"] = torch.nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        layers[f"bn{i}"] = torch.nn.BatchNorm2d(width, affine=False)
    net = torch.nn.ModuleDict(layers)

    def forward(x):
        x = torch.relu(net["conv0"](x[:, None]))
        x = total = x if window is None else torch.nn.functional.avg_pool2d(x, window)
        for i in range(1, count + 1):
            x = torch.relu(net[f"conv{i}"](x))
            if i % 2 == 0:
                x = total = x + total
            x = net[f"bn{i}"](x)
        return net["output"](x.mean((2, 3)))

    return net, forward


@pytest.mark.parametrize("name", HONK)
def test_a_file_with_honks_names_gives_the_logits_of_the_papers_net(x64, tmp_path, name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net, forward = honk_net(torch, *HONK[name])
    x = np.random.default_rng(0).standard_normal((2, 101, 40))
    for _ in range(3):  # running statistics that are not the first ones
        forward(torch.tensor(x, dtype=torch.float32))
    torch.save(net.state_dict(), path := tmp_path / "net.pt")
    loaded = load_pretrained(path, model=create_model(name), dtype="float64")
    with torch.no_grad():
        net.eval().double()
        expected = forward(torch.tensor(x)).numpy()
    variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), loaded.variables)
    model = loaded.model.clone(dtype="float64", param_dtype="float64")
    logits = jax.jit(lambda v, x: model.apply(v, x, train=False).logits)(variables, jnp.asarray(x)[..., None])
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(logits, expected, rtol=1e-8, atol=1e-10)
