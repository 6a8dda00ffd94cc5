"""What the pickles of PyTorch and NumPy mean: nested dicts of tensors, as named arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from resnet_jax.weights.messages import not_floating
from resnet_jax.weights.readers.mapped import column_major, strided
from resnet_jax.weights.readers.pickles import Global, Record
from resnet_jax.weights.readers.weight_file import StoredArray

STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "UntypedStorage": np.uint8,
}
DTYPES = {  # of tensors whose storages have no type
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
    **{f"uint{bits}": f"u{bits // 8}" for bits in (16, 32, 64)},
}
REBUILD = "torch._utils._rebuild_"
# Names in pickles of tensors and of what lies beside them; none is imported.
NAMES = re.compile(
    r"torch\.(storage\.|cuda\.)?\w*Storage|torch\.(Size|device|dtype|bool|half|double|(q|per_|b?float|complex|u?int)\w+)"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state|qtensor)"
    r"|torch\.serialization\._get_layout|torch\.jit\._pickle\.(build_\w+|restore_type_tag)|__torch__\.[\w.]+"
    r"|numpy\.(_?core\.multiarray\.(_reconstruct|scalar)|_?core\.numeric\._frombuffer|ndarray|dtype|\w+\d+)"
    r"|numpy\.dtypes\.\w+|ml_dtypes\.\w+|_codecs\.encode"
    r"|collections\.(OrderedDict|defaultdict|Counter|deque)|(copyreg|copy_reg)\._reconstructor"
    r"|(builtins|__builtin__)\.(set|frozenset|list|dict|tuple|int|float|str|bool|bytes|bytearray|complex|slice|range|object)"
    # Training arguments, optimizers and schedules, which are ignored.
    r"|argparse\.Namespace|types\.SimpleNamespace|pathlib\.\w+|datetime\.\w+"
    r"|(torch\.optim|pytorch_lightning|lightning|lightning_fabric|omegaconf|yacs|fvcore|mmcv|mmengine|addict|easydict"
    r"|ml_collections|timm)\.[\w.]+"
)
MOST_ENTRIES = 1_000_000
MOST_LETTERS = 100_000_000  # of all names
MOST_NESTING = 20
MOST_METADATA = 100  # entries


def is_allowed(name: str) -> bool:
    """Whether a pickle of weights may have this name."""
    return NAMES.fullmatch(name) is not None


class StorageId(NamedTuple):
    """What a tensor says of its storage."""

    key: str
    dtype: np.dtype
    length: int  # values
    view: tuple[int, int] | None = None  # offset and length of a part of it


@dataclass(frozen=True)
class Storage:
    """The values that tensors are views of."""

    data: memoryview
    big_endian: bool = False
    verify: Callable[[], None] | None = None


class Contents(NamedTuple):
    """Arrays of a pickle by their names, and texts and numbers beside them."""

    tensors: dict[str, StoredArray]
    metadata: dict[str, str]


def read_contents(tree: Any, storage_of: Callable[[StorageId], Storage]) -> Contents:
    """Arrays in nested dicts, named by their keys with dots between them.

    Raises:
      ValueError: corrupted or unreadable tensors, two of the same name, or none at all.
    """
    tensors: dict[str, StoredArray] = {}
    metadata: dict[str, str] = {}
    unreadable = []
    for name, value in _leaves(tree):
        if isinstance(value, str | int | float):
            if name.count(".") < 2 and len(metadata) < MOST_METADATA:
                metadata[name] = str(value)[:1000]
            continue
        value = _without_parameter(value)
        if not isinstance(value, Record):
            continue
        if name in tensors:
            raise ValueError(f"it has two entries named {name!r}")
        if value.name in (f"{REBUILD}tensor", f"{REBUILD}tensor_v2", f"{REBUILD}tensor_v3"):
            if value.state is not None:
                raise ValueError(f"tensor {name!r} is changed after it is made")
            tensors[name] = _tensor(name, value.args, storage_of)
        elif value.name == f"{REBUILD}qtensor":
            unreadable.append(f"{name} (quantised)")
        elif value.name.endswith(("._reconstruct", "._frombuffer")):
            tensors[name] = _numpy_array(name, value)
    if unreadable:
        raise ValueError(not_floating(unreadable))
    if not tensors:
        raise ValueError("it has other contents than a state dict of tensors")
    return Contents(tensors, metadata)


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Entries of nested dicts, and attributes of TorchScript's modules, that are neither."""
    stack: list[tuple[int, str, Any]] = [(0, "", tree)]
    count = letters = 0
    while stack:
        depth, path, value = stack.pop()
        if isinstance(value, Record) and value.name.startswith("__torch__."):
            value = value.state
        if not isinstance(value, dict):
            if depth:
                yield path, value
            continue
        start = f"{path}." if depth else ""
        count += len(value)
        letters += sum(len(start) + len(name) for name in value)
        # A dict in a pickle may have many names, and so may a long name.
        if count > MOST_ENTRIES or letters > MOST_LETTERS or (value and depth == MOST_NESTING):
            many = f"more than {MOST_ENTRIES:,} entries, or {MOST_LETTERS:,} letters in their names"
            raise ValueError(f"it has {many}, or dicts that are nested more than {MOST_NESTING} deep")
        stack += [(depth + 1, f"{start}{name}", inner) for name, inner in reversed(value.items())]


def _without_parameter(value: Any) -> Any:
    """The tensor of a parameter; anything else as it is."""
    while isinstance(value, Record) and value.name.startswith(f"{REBUILD}parameter") and value.args:
        value = value.args[0]
    return value


def _tensor(name: str, args: tuple[Any, ...], storage_of: Callable[[StorageId], Storage]) -> StoredArray:
    reference, offset, size, stride, *others = args
    if not isinstance(reference, Record) or reference.name != "persistent":
        raise ValueError(f"tensor {name!r} has no storage")
    identifier = storage_id(reference)
    storage, dtype = storage_of(identifier), identifier.dtype
    if identifier.view is not None:
        start, length = identifier.view
        strided(storage.data, dtype, (length,), offset=start)  # raises for a view beyond the storage
        storage = replace(storage, data=storage.data[start * dtype.itemsize :][: length * dtype.itemsize])
    if len(others) > 2 and isinstance(others[2], Global):
        plain = others[2].name.rpartition(".")[2]
        if plain not in DTYPES:
            raise ValueError(not_floating([f"{name} ({plain})"]))
        dtype = np.dtype(DTYPES[plain])
    size, stride = (x.args[0] if isinstance(x, Record) and x.name == "torch.Size" else x for x in (size, stride))
    return strided(storage.data, dtype, size, stride, offset, big_endian=storage.big_endian, verify=storage.verify)


def storage_id(reference: Record) -> StorageId:
    """What a pickle says of a storage.

    Raises:
      ValueError: another kind of object, or a type of values that is not known.
    """
    match reference.args[0]:
        case ("storage", Global(name), str(key), _, int(length), *view):
            kind = name.rpartition(".")[2]
        case _:
            raise ValueError("expected a type, a name and a size for each storage")
    if kind not in STORAGES:
        raise ValueError(not_floating([f"storage {key} ({kind})"]))
    match view:  # of a file before 1.6
        case [] | [None]:
            return StorageId(key, np.dtype(STORAGES[kind]), length)
        case [(_, int(start), int(count))]:
            return StorageId(key, np.dtype(STORAGES[kind]), length, (start, count))
    raise ValueError(f"storage {key!r} has an unknown view")


def _numpy_array(name: str, record: Record) -> StoredArray:
    """An array as NumPy pickles it."""
    if record.name.endswith("._frombuffer"):
        data, kind, shape, order = record.args
        is_fortran = order == "F"
    else:
        _, shape, kind, is_fortran, data = record.state
    dtype, big_endian = _numpy_dtype(name, kind)
    if isinstance(data, Record) and data.name == "_codecs.encode":  # bytes in a pickle of protocol 2
        data = data.args[0]
    if isinstance(data, str):  # bytes of Python 2
        data = data.encode("latin-1")
    if not isinstance(data, bytes | memoryview):
        raise ValueError(f"array {name!r} has objects as values")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"array {name!r} has {len(data):,} bytes for its shape {str(shape)[:80]}")
    strides = column_major(shape) if is_fortran else None
    return strided(memoryview(data), dtype, shape, strides, big_endian=big_endian)


def _numpy_dtype(name: str, record: Any) -> tuple[np.dtype, bool]:
    """The type that a pickle describes, and whether its values are big-endian."""
    kind = record.args[0] if isinstance(record, Record) and record.name == "numpy.dtype" and record.args else None
    if isinstance(kind, Global) and kind.name.startswith("ml_dtypes."):
        kind = kind.name.removeprefix("ml_dtypes.")
        if kind == "bfloat16" or kind in DTYPES:
            return np.dtype(getattr(ml_dtypes, kind)), False
    if not isinstance(kind, str) or not re.fullmatch(r"[<>|=]?[fiubc]\d+", kind):
        raise ValueError(f"array {name!r} has objects as values, or an unknown type")
    order = record.state[1] if isinstance(record.state, tuple) else kind[0]
    return np.dtype(kind.lstrip("<>|=")), order == ">"
