"""Writes resnet_jax/weights/imagenet.tsv.gz from the installed timm and torchvision: python docs/label_sets.py"""

from __future__ import annotations

import gzip
from pathlib import Path

from resnet_jax.weights.labels import FLAGS

FILE = Path(__file__).parents[1] / "resnet_jax" / "weights" / "imagenet.tsv.gz"
SYNSETS = {  # timm's file of each label set
    "imagenet-1k": "imagenet_synsets.txt",
    "imagenet-12k": "imagenet12k_synsets.txt",
    "imagenet-21k": "imagenet22k_synsets.txt",
    "imagenet-21k-goog": "imagenet21k_goog_synsets.txt",
    "imagenet-21k-miil": "imagenet21k_miil_synsets.txt",
    "imagenet-21k-w21": "imagenet21k_miil_w21_synsets.txt",
}


def text() -> str:
    """A line for each synset, in the order of their ids: id, label sets, name in ImageNet-1k, words of WordNet."""
    import timm
    from torchvision.models import ResNet18_Weights

    folder = Path(timm.__file__).parent / "data" / "_info"

    def lines(name: str) -> list[str]:
        return (folder / name).read_text("utf-8").splitlines()

    words = dict(
        line.split("\t", 1) for line in lines("imagenet_synset_to_lemma.txt")
    )
    ids = {name: lines(file) for name, file in SYNSETS.items()}
    assert all(synsets == sorted(synsets) for synsets in ids.values())
    names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    short = dict(zip(ids["imagenet-1k"], names, strict=True))
    members = {name: set(synsets) for name, synsets in ids.items()}
    rows = []
    for synset in sorted(set().union(*members.values())):
        flags = "".join(
            flag for name, flag in FLAGS.items() if synset in members[name]
        )
        rows.append(
            f"{synset}\t{flags}\t{short.get(synset, '')}\t{words[synset]}\n"
        )
    return "".join(rows)


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(text().encode(), 9, mtime=0))
