"""Feature maps of image files, written to an .npz file as they are computed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Literal, get_args

import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import did_you_mean
from resnet_jax.evaluation.predictions import forward_files
from resnet_jax.files import check_writable, expanded, replaced
from resnet_jax.models import feature_info, shapes
from resnet_jax.models.inspect import backbone_of, is_dense
from resnet_jax.types import Array, Pretrained

Pool = Literal["avg", "none"]
BEHIND_MAPS, LOGITS = ("pool",), "logits"
COPIED = 2**20  # bytes at a time


def feature_layers(net: Pretrained) -> dict[str, tuple[int, ...]]:
    """Shape of each feature map for one of the net's images, without the batch: {"stage4": (7, 7, 2048), ...}.

    "pool" is the input of the classifier, and "logits" its output. Those of a segmenter or detector are its backbone's.
    """
    net = _backbone(net)
    outputs = shapes(net.model, net.preprocess.image_size).outputs
    names = [*feature_info(net.model), *(name for name in BEHIND_MAPS if name in outputs.features)]
    layers = {name: outputs.features[name].shape[1:] for name in names}
    return {**layers, LOGITS: outputs.logits.shape[1:]} if net.model.num_classes else layers


def last_maps(layers: Sequence[str]) -> str:
    """The last stage among the names of `feature_layers`."""
    return [name for name in layers if name not in (*BEHIND_MAPS, LOGITS)][-1]


def write_features(
    path: str | Path, net: Pretrained, files: Sequence[Path], *, layer: str, pool: Pool = "avg", batch_size: int = 32
) -> tuple[tuple[int, ...], dict[str, str]]:
    """Writes feature maps of image files to an .npz file; returns their shape, and why others could not be read.

    The file has "features" float32 [n, C] ("avg": means over all positions) or [n, H, W, C] ("none"), and "images",
    the n names. It is replaced when all is computed; memory holds a few batches.

    Raises:
      ValueError: no such layer or pool, another kind of file, one that cannot be written, no readable image, or as
        `forward_files`.
    """
    path, net = expanded(path), _backbone(net)
    if path.suffix != ".npz" or path.is_dir():
        raise ValueError(f"expected a .npz file for features, got {str(path)!r}")
    layers = feature_layers(net)
    if layer not in layers:
        raise ValueError(f"{net.name} has no layer {layer!r}; {did_you_mean(layer, layers)}")
    if pool not in get_args(Pool):
        raise ValueError(f"expected pool avg or none, got {pool!r}")

    def outputs(outputs: Any) -> dict[str, Array]:
        maps = (outputs.logits if layer == LOGITS else outputs.features[layer]).astype(jnp.float32)
        return {"features": maps.mean(tuple(range(1, maps.ndim - 1))) if pool == "avg" and maps.ndim > 2 else maps}

    shape = layers[layer][-1:] if pool == "avg" else layers[layer]
    names: list[str] = []
    unreadable: dict[str, str] = {}
    check_writable(path)
    with replaced(path) as new, zipfile.ZipFile(new, "w") as archive, TemporaryFile(dir=path.parent) as rows:
        for one in forward_files(net, outputs, files, batch_size=batch_size):
            if one.rows is None:
                unreadable[str(one.file)] = str(one.error)
                continue
            names.append(str(one.file))
            rows.write(np.ascontiguousarray(one.rows["features"], "<f4").tobytes())
        if not names:
            raise ValueError(f"none of {len(files)} images could be read; {next(iter(unreadable.values()), '')}")
        # The number of rows stands before them in the file, and is known last.
        _copy(archive, "features", (len(names), *shape), rows)
        with archive.open("images.npy", "w") as member:
            np.lib.format.write_array(member, np.array(names))
    return (len(names), *shape), unreadable


def _backbone(net: Pretrained) -> Pretrained:
    """The net that makes the feature maps: the backbone of a segmenter or detector, any other net itself."""
    if not is_dense(net.model):
        return net
    variables = {name: tree["backbone"] for name, tree in net.variables.items() if "backbone" in tree}
    return net._replace(model=backbone_of(net.model), variables=variables)


def _copy(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], rows: IO[bytes]) -> None:
    """Adds an array whose float32 values are in a file."""
    rows.seek(0)
    header: Mapping[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, dict(header))
        shutil.copyfileobj(rows, member, COPIED)
