"""Writes resnet_jax/models/published.json from the installed libraries: python docs/published_weights.py"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from resnet_jax import get_spec, list_models, summary
from resnet_jax.models.published import PublishedWeights

FILE = Path(__file__).parents[1] / "resnet_jax" / "models" / "published.json"
# By the number of classes. CLIP's towers have embeddings of other numbers instead.
LABELS = {
    1000: "imagenet-1k",
    11821: "imagenet-12k",
    21843: "imagenet-21k-goog",
    21: "voc",
}


def rows() -> Iterator[PublishedWeights]:
    for name in list_models():
        yield from timm_rows(name)
        yield from torchvision_rows(name)
    for name in list_models(input_kind="image-text"):
        yield from open_clip_rows(name)


def timm_rows(name: str) -> Iterator[PublishedWeights]:
    """Published weights of timm, its default first."""
    import timm
    import torch

    if not timm.is_model(name):
        return
    for tag, config in timm.models.get_arch_pretrained_cfgs(name).items():
        if not (config.hf_hub_id or config.url):
            continue
        with torch.device("meta"):
            net = timm.create_model(name, num_classes=config.num_classes)
        channels, height, width = config.input_size
        assert channels == 3 and height == width
        yield PublishedWeights(
            model=name,
            tag=tag.partition(".")[2],
            source="timm",
            classes=config.num_classes,
            parameters=sum(array.numel() for array in net.parameters()),
            image_size=height,
            crop_pct=config.crop_pct,
            interpolation=config.interpolation,
            mean=config.mean,
            std=config.std,
            hub_id=config.hf_hub_id or None,
            url=config.url or None,
            checksum=checksum(config.url),
            labels=LABELS.get(config.num_classes),
            test_size=config.test_input_size and config.test_input_size[1],
            test_crop_pct=config.test_crop_pct,
            crop_mode=config.crop_mode,
            is_fixed_size=config.fixed_input_size,
            first_conv=config.first_conv,
            classifier=config.classifier,
            licence=None if config.license == "unknown" else config.license,
        )


def torchvision_rows(name: str) -> Iterator[PublishedWeights]:
    from torchvision import models

    if name not in models.list_models():
        return
    for weights in models.get_model_weights(name):
        if get_spec(name).family == "detection":
            yield detection_row(name, weights)
            continue
        if get_spec(name).family == "segmentation":
            yield segmentation_row(name, weights)
            continue
        used, meta = weights.transforms(), weights.meta
        (size,), (resize,) = used.crop_size, used.resize_size
        yield PublishedWeights(
            model=name,
            tag=weights.name,
            source="torchvision",
            classes=len(meta["categories"]),
            parameters=meta["num_params"],
            image_size=size,
            crop_pct=round(size / resize, 4),
            interpolation=used.interpolation.value,
            mean=tuple(used.mean),
            std=tuple(used.std),
            url=weights.url,
            checksum=checksum(weights.url),
            labels=LABELS[len(meta["categories"])],
            resize=resize,
            first_conv="features.0.0" if "efficientnet" in name else "conv1",
            classifier="classifier.1" if "efficientnet" in name else "fc",
            licence=meta.get("license"),
            top1=meta["_metrics"]["ImageNet-1K"]["acc@1"],
            size_mib=meta["_file_size"],
        )


def open_clip_rows(name: str) -> Iterator[PublishedWeights]:
    """Published weights of open_clip's net, OpenAI's first. All of them have the activation "quick_gelu"."""
    import open_clip

    theirs = name.replace("clip_resnet", "RN")
    usual = get_spec(name).preprocess
    for tag in open_clip.list_pretrained_tags_by_model(theirs):
        config = open_clip.get_pretrained_cfg(theirs, tag)
        assert config["quick_gelu"]
        yield PublishedWeights(
            model=name,
            tag=tag,
            source="open_clip",
            classes=open_clip.get_model_config(theirs)["embed_dim"],
            parameters=summary(name).parameters,
            image_size=usual.image_size,
            crop_pct=1.0,
            interpolation=config["interpolation"],
            mean=config["mean"],
            std=config["std"],
            hub_id=config["hf_hub"].rstrip("/"),
            url=config["url"],
            checksum=checksum(config["url"]),
            is_fixed_size=True,
            first_conv="visual.conv1",
            licence="mit",
        )


def segmentation_row(name: str, weights: Any) -> PublishedWeights:
    """As in torchvision's evaluation the shorter side is resized; the net's canvas bounds the longer one."""
    used, meta = weights.transforms(), weights.meta
    (size,), categories = used.resize_size, meta["categories"]
    return PublishedWeights(
        model=name,
        tag=weights.name,
        source="torchvision",
        classes=len(categories),
        parameters=meta["num_params"],
        image_size=get_spec(name).preprocess.image_size,
        crop_pct=1.0,
        interpolation=used.interpolation.value,
        mean=tuple(used.mean),
        std=tuple(used.std),
        url=weights.url,
        checksum=checksum(weights.url),
        labels=LABELS[len(categories)],
        resize=size,
        crop_mode="pad",
        first_conv="backbone.conv1",
        classifier="classifier.4",
        licence=meta.get("license"),
        miou=meta["_metrics"]["COCO-val2017-VOC-labels"]["miou"],
        size_mib=meta["_file_size"],
    )


def detection_row(name: str, weights: Any) -> PublishedWeights:
    """torchvision pads the longer side of at most 1333 pixels to 1344; here it has at most 1344."""
    meta, usual = weights.meta, get_spec(name).preprocess
    metrics = meta["_metrics"]["COCO-val2017"]
    # Weights whose norms were trained with epsilon 0: torchvision sets it where it loads them.
    is_first = weights.name == "COCO_V1" and not name.endswith("_v2")
    return PublishedWeights(
        model=name,
        tag=weights.name,
        source="torchvision",
        classes=len(meta["categories"]),
        parameters=meta["num_params"],
        image_size=usual.image_size,
        crop_pct=1.0,
        interpolation=usual.interpolation,
        mean=usual.mean,
        std=usual.std,
        url=weights.url,
        checksum=checksum(weights.url),
        labels="coco",
        resize=usual.resize,
        crop_mode=usual.crop_mode,
        first_conv="backbone.body.conv1",
        licence=meta.get("license"),
        box_ap=metrics["box_map"],
        mask_ap=metrics.get("mask_map"),
        norm_epsilon=0.0 if is_first and not name.startswith("fcos") else None,
        size_mib=meta["_file_size"],
    )


def checksum(url: str | None) -> str | None:
    """First digits of the SHA-256 in an address: in the file's name, or the whole of it in its folder's."""
    match = re.search(r"-([0-9a-f]{8})\.|/([0-9a-f]{8})[0-9a-f]{56}/", url or "")
    return match and (match[1] or match[2])


def text(weights: Iterator[PublishedWeights]) -> str:
    """A row a line, without the values that are a field's default."""
    defaults = {field.name: field.default for field in fields(PublishedWeights)}

    def short(row: PublishedWeights) -> dict[str, Any]:
        return {
            key: value
            for key, value in asdict(row).items()
            if value != defaults[key]
        }

    lines = (json.dumps(short(row), separators=(",", ":")) for row in weights)
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text(rows()))
