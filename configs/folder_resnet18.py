"""ResNet-18 on a folder of your own images.

    python train.py --config configs/folder_resnet18.py --data.path PICTURES --workdir runs/mine

PICTURES has a folder of images per class, or such folders in train/ and val/ (or test/), or images and their labels
in metadata.csv. Without --data.path it is the folder "pictures". Without splits a fifth of the images is held out for
testing. Images may have any size: training uses random resized crops of 128 pixels with flips and mild colour jitter,
evaluation a centre crop after resizing to 146.

The settings suit a few hundred images and more. For small pictures use --data.image-size 64, or 32 with --model.name
cifar_resnet20, and gentler crops: --data.crop-area 0.6 1. The learning rate scales with --data.batch-size.

Device: an accelerator. Two CPU cores train on 8 images per second (512 JPEGs of 500x375 pixels, jax 0.10.2,
2026-11-23; 0.6 % of the time waiting for data): a minute per epoch for 500 images, half an hour in all. Not run to its
end: no photographs were available.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/folder_resnet18",
    model=ModelConfig(name="resnet18"),
    data=DataConfig(
        path="pictures",
        batch_size=32,
        image_size=128,
        crop_area=(0.25, 1.0),
        padding=0,
        horizontal_flip=True,
        color_jitter=(0.2, 0.2, 0.2, 0.0),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        channels=3,
    ),
    optim=OptimConfig(peak_lr=0.05, lr_reference_batch=32, warmup_epochs=2.0, weight_decay=5e-4, label_smoothing=0.1),
    train=TrainConfig(epochs=30.0, log_every_steps=20, eval_every_epochs=5.0),
)
