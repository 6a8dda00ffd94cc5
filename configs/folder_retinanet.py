"""RetinaNet on a folder of your own images with boxes: a small net, trained from scratch.

    python train.py --config configs/folder_retinanet.py --data.path PICTURES --workdir runs/mine

PICTURES has images and annotations: COCO JSON, Pascal VOC or YOLO. Without --data.path it is the folder "pictures".
Without splits about a fifth of the images is held out for testing. Images of any size are resized to 256 pixels.

The anchors are for objects of 14 to 113 pixels a side after the resizing; resnet-jax data prints the sides. The
backbone is a CIFAR net of twenty layers with ImageNet's stem: 0.27 million weights, which few images can train.

Device: two CPU cores, about three minutes of CPU time (jax 0.10.1, 2026-11-26). Measured on eighteen training pictures
of 300 to 640 pixels with 73 coins, cats and horses pasted into photographs, and twelve other such pictures: AP50 0.76,
AP 0.50 with averaged weights, seed 0 (791 of 800 steps); after 80 epochs AP50 0.52, AP 0.34.
"""

from resnet_jax.config import CheckpointConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/folder_retinanet",
    task="detection",
    model=ModelConfig(
        name="retinanet",
        stem="imagenet",
        options=(
            "backbone=cifar_resnet20",
            "levels=stage2,stage3",
            "fpn_features=64",
            "head_depth=2",
            "anchor_sizes=((20, 32), (48, 80))",
            "aspect_ratios=(0.8, 1.25)",
            "detections_per_img=60",
            "topk_candidates=500",
        ),
    ),
    data=DataConfig(
        path="pictures",
        batch_size=4,
        eval_batch_size=8,
        image_size=256,
        channels=3,
        scale_jitter=(0.7, 1.6),
        horizontal_flip=True,
        color_jitter=(0.2, 0.2, 0.2, 0.05),
    ),
    optim=OptimConfig(
        optimizer="adamw", peak_lr=2e-3, warmup_epochs=10.0, weight_decay=0.05, clip_norm=10.0, ema_decay=0.99
    ),
    train=TrainConfig(epochs=200.0, eval_every_epochs=50.0, log_every_steps=20),
    checkpoint=CheckpointConfig(keep_latest=1),
)
