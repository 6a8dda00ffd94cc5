"""Faster R-CNN on scenes that are composed of handwritten digits: boxes of ten classes.

    python train.py --config configs/scenes_fasterrcnn.py

Data and backbone are those of scenes_retinanet.py. Proposals and samples are few, because a scene has four digits at
most.

Device: two CPU cores (AMD EPYC), 3:42 (jax 0.10.1, 2026-11-26). Seed 0 on 360 test scenes:
AP50 0.9979, AP 0.8449.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import load_config

base = load_config(Path(__file__).with_name("scenes_retinanet.py"))

config = replace(
    base,
    workdir="runs/scenes_fasterrcnn",
    model=replace(
        base.model,
        name="fasterrcnn",
        options=(
            "backbone=cifar_wrn16_4",
            "levels=stage1,stage2,stage3",
            "fpn_features=64",
            "anchor_sizes=(22, 32, 46)",
            "aspect_ratios=(1.0, 1.6, 2.6)",
            "rpn_pre_nms_top_n_train=200",
            "rpn_post_nms_top_n_train=64",
            "rpn_pre_nms_top_n_test=200",
            "rpn_post_nms_top_n_test=64",
            "rpn_batch_size_per_image=64",
            "box_dense=(256,)",
            "box_batch_size_per_image=32",
            "box_detections_per_img=30",
        ),
    ),
    train=replace(base.train, epochs=6.0, eval_every_epochs=3.0),
)
