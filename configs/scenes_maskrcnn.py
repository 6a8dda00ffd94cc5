"""Mask R-CNN on scenes that are composed of handwritten digits: boxes and masks of ten classes.

    python train.py --config configs/scenes_maskrcnn.py

Data, backbone and proposals are those of scenes_fasterrcnn.py; the mask head has two convolutions of 32 channels.

Device: two CPU cores (AMD EPYC), 4:10 (jax 0.10.1, 2026-11-26). Seed 0 on 360 test scenes:
boxes AP50 0.9968, AP 0.8405; masks AP50 0.9968, AP 0.7476.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import load_config

base = load_config(Path(__file__).with_name("scenes_fasterrcnn.py"))

config = replace(
    base,
    workdir="runs/scenes_maskrcnn",
    model=replace(
        base.model, name="maskrcnn", options=(*base.model.options, "mask_convs=(32, 32)", "mask_features=32")
    ),
)
