"""PyTorch's .pth files, written without PyTorch."""

import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

STORAGES = {np.dtype(np.float32): "FloatStorage", np.dtype(np.int64): "LongStorage"}


class _Tensor:
    def __init__(self, key, array):
        strides = tuple(step // array.itemsize for step in array.strides)
        self.parts = (key, 0, array.shape, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts


class _Key(str):
    """The number of a storage, with what torch says of it."""

    kind, size = None, 0


class _Pickler(pickle._Pickler):  # the Python one, whose persistent_id sees every object
    def persistent_id(self, value):
        return ("storage", value.kind, str(value), "cpu", value.size) if isinstance(value, _Key) else None


def write_torch_file(path, arrays):
    """Writes a state dict, {name: float32 or int64 array}, as torch.save does."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2(*parts):
        raise NotImplementedError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        with zipfile.ZipFile(path, "w") as archive:
            state = OrderedDict()
            for number, (name, array) in enumerate(arrays.items()):
                array = np.ascontiguousarray(array).reshape(np.shape(array))
                key = _Key(number)
                key.kind, key.size = getattr(torch, STORAGES[array.dtype]), array.size
                state[name] = _Tensor(key, array)
                archive.writestr(f"archive/data/{number}", array.tobytes())
            with archive.open("archive/data.pkl", "w") as file:
                _Pickler(file, protocol=2).dump(state)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
