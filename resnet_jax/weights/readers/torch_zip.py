"""Reads files that PyTorch writes since 1.6, and archives of TorchScript, without PyTorch. No code in them is run."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.weights.readers import pickles
from resnet_jax.weights.readers.archive import Archive
from resnet_jax.weights.readers.torch_pickle import Storage, StorageId, is_allowed, read_contents
from resnet_jax.weights.readers.weight_file import WeightFile, reading


def read_torch_zip(path: Path, archive: Archive) -> WeightFile:
    """Every tensor in the state dict of a file, or parameter and buffer of a TorchScript module, as views of the file.

    Raises:
      UnreadableWeights: a corrupted file, or contents other than tensors in dicts.
    """
    with reading(path, "PyTorch state dict"):
        pickled = min((name for name in archive.members if name.endswith("/data.pkl")), key=len, default=None)
        if pickled is None:
            raise ValueError("it has no data.pkl")
        root = pickled.removesuffix("/data.pkl")
        archive.verifier(pickled)()
        order = bytes(archive.stored(f"{root}/byteorder")) if f"{root}/byteorder" in archive.members else b"little"
        if order not in (b"little", b"big"):
            raise ValueError(f"expected byteorder little or big, got {order[:20]!r}")

        def storage_of(identifier: StorageId) -> Storage:
            name = f"{root}/data/{identifier.key}"
            return Storage(archive.stored(name), order == b"big", archive.verifier(name))

        tree, _, _ = pickles.load(archive.stored(pickled), 0, is_allowed)
        tensors, metadata = read_contents(tree, storage_of)
    is_script = f"{root}/constants.pkl" in archive.members
    return WeightFile(path, tensors, "torchscript" if is_script else "torch", metadata)
