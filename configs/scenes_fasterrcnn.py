"""Faster R-CNN on scenes that are composed of handwritten digits: boxes of ten classes.

    python train.py --config configs/scenes_fasterrcnn.py

Data and backbone are those of scenes_retinanet.py. Proposals and samples are few, because a scene has five digits at
most.

Device: two CPU cores. Not run to its end yet.
"""

from resnet_jax.config import CheckpointConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/scenes_fasterrcnn",
    task="detection",
    model=ModelConfig(
        name="fasterrcnn",
        stem="imagenet",
        options=(
            "backbone=cifar_wrn16_4",
            "levels=stage1,stage2,stage3",
            "fpn_features=64",
            "anchor_sizes=(16, 26, 38)",
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
    data=DataConfig(
        name="scenes",
        batch_size=16,
        eval_batch_size=40,
        image_size=96,
        scale_jitter=(0.75, 1.15),
        color_jitter=(0.3, 0.3, 0.3, 0.1),
    ),
    optim=OptimConfig(
        optimizer="adamw", peak_lr=2e-3, warmup_epochs=1.0, weight_decay=0.02, clip_norm=10.0, ema_decay=0.995
    ),
    train=TrainConfig(epochs=16.0, eval_every_epochs=4.0, log_every_steps=90),
    checkpoint=CheckpointConfig(keep_latest=1),
)
