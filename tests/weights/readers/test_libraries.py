"""Files of the libraries themselves: torch, torchvision, NumPy, Keras. Run by `pytest -m parity`."""

import pickle
from copy import deepcopy

import numpy as np
import pytest

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights
from resnet_jax.weights.wrappers import unwrap

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def net(torch):
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    return models.resnet18(num_classes=7).eval()


def assert_equal(tensors, state):
    assert tensors.keys() == state.keys()
    for name, tensor in state.items():
        assert tensors[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(tensors[name], tensor.detach().float().numpy().astype(tensors[name].dtype))


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_state_dicts(tmp_path, torch, net, is_zip, dtype):
    state = {name: x.to(getattr(torch, dtype)) if x.is_floating_point() else x for name, x in net.state_dict().items()}
    torch.save(state, path := tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    file = read_weights(path)
    assert file.format == ("torch" if is_zip else "torch before 1.6")
    assert file.tensors["conv1.weight"].dtype == dtype
    assert_equal(file.tensors, state)


@pytest.mark.parametrize("is_zip", [True, False])
def test_training_checkpoints(tmp_path, torch, net, is_zip):
    from argparse import Namespace

    optimizer = torch.optim.AdamW(net.parameters())
    net.train()(torch.zeros(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    net.eval()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60])
    checkpoint = {
        "epoch": 3,
        "state_dict": {f"module.{name}": x for name, x in net.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "args": Namespace(lr=0.1, device=torch.device("cpu"), dtype=torch.float32),
        "best_acc1": torch.tensor(76.1),
        "numpy": np.float64(3),
    }
    torch.save(checkpoint, path := tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    state = unwrap(read_weights(path))
    assert (state.prefix, dict(state.dropped)) == ("state_dict.module.", {})
    assert_equal(state.tensors, net.state_dict())


@pytest.mark.parametrize("way", ["script", "trace"])
def test_torchscript_archives(tmp_path, torch, net, way):
    """With `visual.` before the names and in half precision, as OpenAI's."""

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = deepcopy(net)
            self.register_buffer("input_resolution", torch.tensor(224))

        def forward(self, x):
            return self.visual(x)

    tower = Tower().eval()
    module = torch.jit.script(tower) if way == "script" else torch.jit.trace(tower, torch.zeros(1, 3, 32, 32))
    module.half().save(str(path := tmp_path / "x.pt"))
    file = read_weights(path)
    assert file.format == "torchscript" and file.tensors["visual.conv1.weight"].dtype == np.float16
    assert_equal(file.tensors, tower.half().state_dict())


def test_views_of_shared_storages(tmp_path, torch):
    whole = torch.arange(60.0).reshape(3, 4, 5)
    state = {"whole": whole, "row": whole[1], "turned": whole.permute(2, 0, 1), "steps": whole[::2, 1:, ::3]}
    state |= {"expanded": torch.ones(1).expand(4)}
    for is_zip in (True, False):
        torch.save(state, path := tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
        with pytest.raises(UnreadableWeights, match="reaches beyond its storage"):  # strides of 0
            read_weights(path)
        torch.save(
            {name: x for name, x in state.items() if name != "expanded"}, path, _use_new_zipfile_serialization=is_zip
        )
        tensors = read_weights(path).tensors
        for name, array in tensors.items():
            np.testing.assert_array_equal(array, state[name].numpy())


def test_types_that_numpy_lacks(tmp_path, torch):
    values = torch.tensor([1.5, -2, 0.25])
    state = {str(dtype): values.to(dtype) for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16)}
    torch.save(state, path := tmp_path / "x.pth")
    for array in read_weights(path).tensors.values():
        assert np.asarray(array).astype(np.float32).tolist() == values.tolist()
    quantised = torch.quantize_per_tensor(values, 0.25, 0, torch.qint8)
    torch.save({"a": quantised}, path)
    with pytest.raises(UnreadableWeights, match="quantised weights must be dequantised first"):
        read_weights(path)


def test_files_without_checksums(tmp_path, torch):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, path := tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert np.asarray(read_weights(path).tensors["a"]).tolist() == [1, 1, 1]


def test_detectron2s_pickles(tmp_path, net):
    """As its converter of torchvision's nets writes them."""
    state = {}
    for name, tensor in net.state_dict().items():
        name = name if "layer" in name else f"stem.{name}"
        for stage in (4, 3, 2, 1):
            name = name.replace(f"layer{stage}", f"res{stage + 1}").replace(f"bn{stage}", f"conv{stage}.norm")
        state[name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = tensor.numpy()
    content = {"model": state, "__author__": "torchvision", "matching_heuristics": True}
    (path := tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    file = read_weights(path)
    assert file.metadata["__author__"] == "torchvision"
    for name, array in state.items():
        np.testing.assert_array_equal(file.tensors[f"model.{name}"], array)


def test_keras_files(tmp_path):
    keras = pytest.importorskip("keras")
    pytest.importorskip("h5py")
    net = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), include_top=False)
    for name in ("x.h5", "x.weights.h5"):
        (net.save if name == "x.h5" else net.save_weights)(str(tmp_path / name))
        file = read_weights(tmp_path / name)
        kernels = {x.shape for x in file.tensors.values() if x.ndim == 4}
        assert kernels == {tuple(x.shape) for x in net.weights if len(x.shape) == 4}
