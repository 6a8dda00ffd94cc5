"""RetinaNet on tree crowns in an aerial photograph.

    python examples/trees.py trees
    python train.py --config configs/trees_retinanet.py

The photograph is cut into patches; those of its right edge are held out. examples/trees.py has the source and the
rules.

Device: two CPU cores (AMD EPYC), 6:16 beside other work (jax 0.10.1, 2026-11-26). Seed 0 on the seven held-out patches:
AP50 0.4440, AP 0.1230; averaged weights AP50 0.4464, AP 0.1253.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import load_config

base = load_config(Path(__file__).with_name("folder_retinanet.py"))

config = replace(
    base,
    workdir="runs/trees_retinanet",
    model=replace(
        base.model,
        options=(
            "backbone=cifar_wrn16_4",
            "levels=stage2,stage3",
            "fpn_features=64",
            "head_depth=2",
            "anchor_sizes=((18, 28), (42, 64))",
            "aspect_ratios=(0.8, 1.25)",
            "detections_per_img=60",
            "topk_candidates=500",
        ),
    ),
    data=replace(base.data, path="trees", batch_size=8, eval_batch_size=7, image_size=384, channels=None),
    optim=replace(base.optim, peak_lr=1e-3),
    train=replace(base.train, epochs=80.0, eval_every_epochs=20.0),
)
