"""RetinaNet on tree crowns in an aerial photograph.

    python examples/trees.py trees
    python train.py --config configs/trees_retinanet.py

The photograph is cut into patches; those of its right edge are held out. examples/trees.py has the source and the
rules.

Device: two CPU cores. Not run to its end yet.
"""

from resnet_jax.config import CheckpointConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/trees_retinanet",
    task="detection",
    model=ModelConfig(
        name="retinanet",
        stem="imagenet",
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
    data=DataConfig(
        path="trees",
        batch_size=8,
        eval_batch_size=7,
        image_size=384,
        scale_jitter=(0.7, 1.6),
        horizontal_flip=True,
        color_jitter=(0.2, 0.2, 0.2, 0.05),
    ),
    optim=OptimConfig(
        optimizer="adamw", peak_lr=1e-3, warmup_epochs=10.0, weight_decay=0.05, clip_norm=10.0, ema_decay=0.99
    ),
    train=TrainConfig(epochs=80.0, eval_every_epochs=20.0, log_every_steps=20),
    checkpoint=CheckpointConfig(keep_latest=1),
)
