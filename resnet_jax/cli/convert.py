"""resnet-jax convert: weights written for another library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from resnet_jax.cli.shared import Weights, ema_option, model_option, print_notes, step_option, with_sources
from resnet_jax.config import argument, option
from resnet_jax.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from resnet_jax.types import Pretrained

Library = Literal["timm", "torchvision", "openai", "smp", "transformers", "npz"]


@dataclass(frozen=True)
class Request:
    """Write weights, or those of a run, for timm, torchvision, OpenAI's CLIP or NumPy, with classes and preprocessing.

    OUT is a .safetensors file; for timm it may be a new folder, which timm and this package load by its path; for NumPy
    a .npz file.
    """

    weights: Weights = argument("a run, or weights")
    out: Annotated[str, "OUT"] = argument("the file or folder to write")
    to: Library | None = option(
        None,
        "whose names the arrays get; smp: segmentation_models_pytorch; npz: our own",
        none="npz for a .npz file, else timm, or the library that has this net",
    )
    model: str | None = model_option()
    step: str = step_option()
    ema: bool = ema_option()


DESCRIPTION = with_sources(Request.__doc__ or "")


def run(request: Request) -> None:
    from resnet_jax.weights import load_pretrained

    path, library = _convert(request)
    written = load_pretrained(path)  # as any reader of the file gets it
    names = "our own names" if library == "npz" else f"{library}'s names"
    print(printable(f"{path}: {written.name} with {names}, {_outputs(written)}"))
    print(f"to load it: {how_to_load(path, library, request.out, written)}")


def _outputs(written: Pretrained) -> str:
    """ "3 classes cat, dog, owl" or, of a net that takes texts, "features of 64 numbers, 18 words of captions"."""
    from resnet_jax.inputs.captions import CLIP_VOCABULARY
    from resnet_jax.models import get_spec
    from resnet_jax.models.inspect import has_texts
    from resnet_jax.texts.vocabulary import SPECIAL
    from resnet_jax.weights.published import named_outputs

    count, names = written.model.num_classes, written.classes or ()
    model: Any = written.model
    if has_texts(model):
        known = f"{len(names) - len(SPECIAL):,} words of captions" if names else "CLIP's byte pairs"
        unknown = f"{model.vocabulary_size:,} tokens of captions without names"
        return (
            f"features of {count:,} numbers, {known if names or model.vocabulary_size == CLIP_VOCABULARY else unknown}"
        )
    shown = f" {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else " without names"
    return f"{named_outputs(get_spec(written.name), count):,} classes{shown}"


def _convert(request: Request) -> tuple[Path, Library]:
    """Writes the file, and prints notes on the weights; returns whose names its arrays have, too."""
    from resnet_jax.models import get_spec
    from resnet_jax.runs.files.directory import is_run
    from resnet_jax.runs.saved.nets import load_weights, notes_of
    from resnet_jax.runs.starting.opening import open_run
    from resnet_jax.tasks.transcription import Transcription
    from resnet_jax.weights.writers import check_target, libraries_of, write_weights

    library: Library = request.to or ("npz" if request.out.endswith(".npz") else "timm")
    source = request.weights
    if is_run(source):
        source = str(open_run(source, request.step).checkpoint.path)
    elif request.step != "latest":
        raise ValueError(f"--step is for runs, and {source} is a file of weights")
    check_target(source, request.out, library)
    loaded = load_weights(source, model=request.model, ema=request.ema)
    print_notes(notes_of(loaded))
    if loaded.task == Transcription.name:  # whose bands and task a file of weights does not hold
        raise ValueError(f"convert: files of weights hold no nets of transcripts; predict and eval take {source}")
    if library != "npz" and (spec := get_spec(loaded.model)).input_kind not in ("images", "image-text"):
        others = f"; in Python, save_torch_state(layout={next(iter(spec.name_tables))!r})" if spec.name_tables else ""
        raise ValueError(f"{spec.name} takes {spec.input_kind}: expected OUT as a .npz file, got {request.out}{others}")
    if request.to is None and library == "timm" and (libraries := libraries_of(loaded.model)):
        library = "timm" if "timm" in libraries else cast("Library", libraries[0])
        check_target(source, request.out, library)
    return write_weights(loaded, request.out, library), library


def how_to_load(path: Path, library: Library, out: str, written: Pretrained) -> str:
    """The line of Python that loads a written file."""
    if library == "timm" and path.name == "model.safetensors" and str(path) != out:
        return f'timm.create_model("local-dir:{out}", pretrained=True)'
    if library == "timm":
        channels = f", in_chans={written.model.in_channels}" if written.model.in_channels != 3 else ""
        sizes = f"num_classes={written.model.num_classes}{channels}"
        return f'timm.create_model("{written.name}", {sizes}, checkpoint_path="{path}")'
    if library == "npz":
        return f'resnet_jax.load_pretrained("{path}")'
    return f'net.load_state_dict(safetensors.torch.load_file("{path}"))'
