"""Mask R-CNN with a ResNet-50 and a feature pyramid on COCO 2017: torchvision's published recipe.

    python train.py --config configs/coco_maskrcnn_resnet50.py --data.path COCO

COCO has the folders train2017 and val2017, and annotations/instances_train2017.json and instances_val2017.json.

The data and the recipe are those of coco_retinanet_resnet50.py, with a learning rate of 0.02.

Device: eight accelerators. Published for this recipe (torchvision, maskrcnn_resnet50_fpn.COCO_V1): 37.9 AP of boxes
and 34.6 AP of masks on val2017. Not run: neither accelerators nor the data were available.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import load_config

base = load_config(Path(__file__).with_name("coco_retinanet_resnet50.py"))

config = replace(
    base,
    workdir="runs/coco_maskrcnn_resnet50",
    model=replace(base.model, name="maskrcnn_resnet50_fpn"),
    optim=replace(base.optim, peak_lr=0.02),
)
