"""Our variables as files for other libraries, with the classes and the preprocessing of the net."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.errors import check_type, listed, one_of
from resnet_jax.files import check_writable, expanded, replace_file, to_json
from resnet_jax.models import ModelSpec, create_model, get_spec
from resnet_jax.models.published import published
from resnet_jax.models.registry import default_net
from resnet_jax.models.spec import NameTable
from resnet_jax.types import Preprocess, Pretrained, Variables
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.fit import class_count, first_convolution, with_parts_of
from resnet_jax.weights.metadata import differing_fields, options_of, to_metadata
from resnet_jax.weights.names import Names, depths_of
from resnet_jax.weights.pretrained import load_pretrained
from resnet_jax.weights.readers import SUFFIXES
from resnet_jax.weights.readers.weight_file import METADATA
from resnet_jax.weights.safetensors_file import write_safetensors

LAYOUTS = ("timm", "torchvision", "openai", "smp")  # that nets are written in
TARGETS = (*LAYOUTS, "transformers", "npz")


def convert_weights(
    source: str | Path,
    out: str | Path,
    to: str = "timm",
    *,
    model: str | nn.Module | None = None,
    ema: bool | None = None,
    **options: Any,
) -> Path:
    """Writes the weights of any source of `load_pretrained` for another library, and returns the path of the file.

    Classes and preprocessing are kept in the file's metadata. Arrays are exactly those that `load_pretrained` returns.

    Args:
      out: a file (.safetensors, or .npz for "npz"); or, for "timm", a new or empty folder, which gets model.safetensors
        and config.json as timm's `create_model("local-dir:FOLDER")` reads them.
      to: "timm", "torchvision", "openai", "smp" (segmentation_models_pytorch) or "transformers" (CLIP), or "npz":
        arrays with our own names, for every net.
      model, ema, options: as for `load_pretrained`.

    Raises:
      ValueError: as `load_pretrained`; another kind of file; a library that has no net with the numbers of this one.
    """
    check_target(source, out, to)
    return write_weights(load_pretrained(source, model=model, ema=ema, **options), out, to)


def check_target(source: str | Path, out: str | Path, to: str) -> None:
    """Raises ValueError unless `convert_weights` can write this file or folder, and reads another one."""
    if to not in TARGETS:
        raise ValueError(f"expected {one_of(TARGETS)}, got {to!r}")
    out = expanded(out)
    ending = ".npz" if to == "npz" else ".safetensors"
    if not _is_folder(out, to) and out.suffix != ending:
        raise ValueError(f"expected a file name that ends in {ending} for {to}, got {out.name}")
    if _is_folder(out, to) and out.suffix in SUFFIXES:
        raise ValueError(f"expected a file name that ends in .safetensors, or a folder, got {out.name}")
    inputs = expanded(source).iterdir() if expanded(source).is_dir() else [expanded(source)]
    if out.is_file() and any(file.is_file() and out.samefile(file) for file in inputs):
        raise ValueError(f"expected another file than the one that is read, got {str(out)!r}")
    if _is_folder(out, to) and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"expected a new or empty folder, got {str(out)!r}")


def libraries_of(model: nn.Module) -> list[str]:
    """The libraries, of `TARGETS`, that have this net."""
    return list(_tables(get_spec(model)))


def _is_folder(out: Path, to: str) -> bool:
    return out.suffix not in (".npz", ".safetensors") and to == "timm"


def write_weights(loaded: Pretrained, out: str | Path, to: str) -> Path:
    """Writes a net as `convert_weights` does, and returns the path of the file. Raises ValueError as it does."""
    out = expanded(out)
    name = get_spec(loaded.model).name
    about: dict[str, Any] = {"classes": loaded.classes, "preprocess": loaded.preprocess}
    net = loaded.model
    if to != "npz":
        _check_numbers(loaded.model, name, to)
    check_writable(out / "model.safetensors" if _is_folder(out, to) else out)
    if to == "npz":
        metadata = to_metadata(name, options=options_of(loaded.model, name), **about)
        write_npz(loaded.variables, out, metadata)
        return out
    if not _is_folder(out, to):
        save_torch_state(loaded.variables, net, out, to, **about)
        return out
    save_torch_state(loaded.variables, net, out / "model.safetensors", to, **about)
    replace_file(out / "config.json", to_json(hub_config(loaded), indent=2) + "\n")
    return out / "model.safetensors"


def save_torch_state(
    variables: Variables,
    name: str | nn.Module,
    path: str | Path,
    layout: str = "timm",
    *,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
) -> None:
    """Writes a .safetensors file that PyTorch's net of this name loads strictly: `load_pretrained` backwards.

    Arrays keep their dtype. Reading the file again gives the same arrays; float64 with `dtype="float64"`.

    Args:
      variables: of `create_model(name)`, with any number of classes, or no head, and of input channels.
      name: of the net, or the net itself: a segmenter or detector on a backbone of your choice.
      layout: the library whose names the arrays get: "timm", "torchvision", (CLIP) "openai" and "transformers", or
        (segmenters on any backbone) "smp"; of nets that take no images any that has the net, as "tsai".
      classes, preprocess: of the net; they go into the file's metadata, where `load_pretrained` finds them.

    Raises:
      ValueError: an unknown model or layout, another kind of file, or arrays that do not fit the net.
    """
    path = expanded(path)
    check_type(variables, Mapping, 'variables (a dict with "params")', "a TrainState has them in state.variables")
    if "params" not in variables:
        raise ValueError(f'expected variables with "params", got {listed(map(str, variables), 3) or "an empty dict"}')
    check_type(layout, str, "a layout (str)")
    if path.suffix != ".safetensors":
        raise ValueError(f"expected a file name that ends in .safetensors, got {path.name}")
    spec = get_spec(name)
    net, name = create_model(name) if isinstance(name, str) else name, spec.name
    tables = _tables(spec)
    if not tables:
        raise ValueError(f"layout={layout!r}: no library has a net with the numbers of {name}")
    if layout not in tables:
        raise ValueError(f"layout: expected {one_of(tables)} for {name}, got {layout!r}")
    flat = {key: np.asarray(value) for key, value in flatten_dict(variables).items()}
    image, names = first_convolution(flat), Names(layout, tables[layout], depths_of(net))
    state: dict[str, Any] = to_state(unflatten_dict(flat), names)
    net, _ = with_parts_of(state, net, names)
    model: Any = net.clone(num_classes=class_count(state, names, net), **tables[layout].overrides)
    model = model if image is None else model.clone(in_channels=flat[image].shape[-2])
    to_variables(state, model, names, allow_nonfinite=True)  # raises for missing arrays and other shapes
    counters = [names.entry(path)[0] for path in flat if path[-1] == "mean"]
    state |= {f"{key.removesuffix('running_mean')}num_batches_tracked": np.zeros((), np.int64) for key in counters}
    write_safetensors(state, path, to_metadata(name, classes=classes, preprocess=preprocess))


def _tables(spec: ModelSpec) -> dict[str, NameTable]:
    """Name tables of the libraries that the net is written for: those of `LAYOUTS` for images, for other inputs all."""
    is_written = LAYOUTS if spec.input_kind == "images" else spec.name_tables
    return {library: table for library, table in spec.name_tables.items() if library in is_written}


def write_npz(variables: Variables, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes arrays with our own names, as "params/stem/conv/kernel", and the metadata, as NumPy's .npz."""
    arrays: dict[str, Any] = {"/".join(at): np.asarray(value) for at, value in flatten_dict(variables).items()}
    arrays[METADATA] = np.frombuffer(json.dumps(dict(metadata)).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)
    replace_file(path, file.getvalue())


def hub_config(loaded: Pretrained) -> dict[str, Any]:
    """timm's config.json of a net: architecture, classes and preprocessing."""
    net, preprocess = loaded.model, loaded.preprocess
    names = Names("timm", get_spec(net).name_tables["timm"])
    stem = first_convolution(flatten_dict(loaded.variables))
    values: dict[str, Any] = {
        "input_size": [net.in_channels, preprocess.image_size, preprocess.image_size],
        "interpolation": preprocess.interpolation,
        "crop_pct": crop_pct(preprocess.image_size, preprocess.resize),
        "crop_mode": preprocess.crop_mode,
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
        "num_classes": net.num_classes,
        "first_conv": names.entry(stem)[0].removesuffix(".weight") if stem else None,
        "classifier": names.classifier()[1].removesuffix(".weight"),
    }
    if any(row.is_fixed_size for row in published(get_spec(net).name)):
        values["fixed_input_size"] = True  # timm makes the positions of the attention of this size
    values = {key: value for key, value in values.items() if value not in (None, [])}
    config = {"architecture": get_spec(net).name, "num_classes": net.num_classes, "pretrained_cfg": values}
    config |= {"model_args": {"in_chans": net.in_channels}} if net.in_channels != 3 else {}
    return config | ({"label_names": list(loaded.classes)} if loaded.classes else {})


def crop_pct(size: int, resize: int) -> float:
    """The fraction for which timm resizes to `resize` pixels: the largest, as floor(size / fraction) rounds."""
    fraction = size / resize
    while math.floor(size / fraction) < resize:
        fraction = math.nextafter(fraction, 0)
    return fraction


def _check_numbers(model: Any, name: str, layout: str) -> None:
    """Raises ValueError if the library's net of this name would give other numbers for the same arrays."""
    table = get_spec(name).name_tables.get(layout)
    if table is None:
        return  # `save_torch_state` has the message
    theirs: Any = default_net(model).clone(**table.overrides)
    if differing := [field for field in differing_fields(model, theirs) if field not in table.choices]:
        fields = ", ".join(differing)
        problem = f"this {name} differs from {layout}'s in {fields}, which would give other numbers"
        raise ValueError(f"{problem}; expected npz, which keeps every net")
