"""resnet-jax features: feature maps of images, in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from resnet_jax.cli.shared import Weights, ema_option, model_option, print_notes, step_option, with_sources
from resnet_jax.config import Place, argument, option
from resnet_jax.errors import SetupError

NEEDS_DEVICES = True
LESS_MEMORY = "a lower --batch-size uses less"


@dataclass(frozen=True)
class Request:
    """Write feature maps of images to an .npz file: "features", a row per image, and "images", their names."""

    weights: Weights = argument("a run, or weights")
    images: tuple[Annotated[str, "IMAGE"], ...] = argument(
        "image files, folders of them, patterns ('*.jpg'), or - for standard input"
    )
    layer: str | None = option(
        None,
        "the maps: stem, stage1, ..., pool before the classifier, or logits, its outputs (the image features of CLIP)",
        none="the last stage",
    )
    pool: Literal["avg", "none"] = option("avg", "avg: the mean of each channel; none: the whole maps")
    out: Place = option("features.npz", "the file to write")
    model: str | None = model_option()
    step: str = step_option()
    ema: bool = ema_option()
    batch_size: int = option(32, "images at a time")


DESCRIPTION = with_sources(Request.__doc__ or "")


def run(request: Request) -> None:
    import sys

    from resnet_jax.cli.predict import check_order, check_some, compare_images
    from resnet_jax.evaluation.features import feature_layers, last_maps, write_features
    from resnet_jax.evaluation.image_inputs import image_files
    from resnet_jax.files import expanded
    from resnet_jax.models.inspect import has_texts
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.saved.nets import notes_of, open_net
    from resnet_jax.runs.saved.zero_shot import tower_of
    from resnet_jax.types import NOUNS

    check_some(request.images)
    check_order("features", request.weights, request.images)
    out, weights = expanded(request.out), expanded(request.weights)
    if out.exists() and weights.exists() and out.samefile(weights):
        raise ValueError(f"--out: expected another file than the weights, got {request.out}")
    net = open_net(request.weights, step=request.step, ema=request.ema, model=request.model)
    if net.kind != "images":
        python = "resnet_jax.load_checkpoint(run).model.apply(...).features has those of other inputs"
        raise ValueError(f"features: expected a net of images, got one of {NOUNS[net.kind][1]}; {python}")
    if has_texts(net.net.model):
        net = tower_of(net)
    files = image_files(request.images)
    compare_images(net, files)
    print_notes(notes_of(net.net))
    layer = request.layer or last_maps([*feature_layers(net.net)])
    cache_compilations()
    shape, unreadable = write_features(
        request.out, net.net, files, layer=layer, pool=request.pool, batch_size=request.batch_size
    )
    for reason in unreadable.values():
        print(f"unreadable: {reason}", file=sys.stderr)
    print(f"{request.out}: features {list(shape)} of {layer} ({net.description}), images [{shape[0]}]")
    if unreadable:
        raise SetupError(f"{len(unreadable)} of {len(files)} images could not be read")
