"""ResNet-18, from weights trained on ImageNet to your own images: a folder with a sub-folder of images per class.

    python train.py --config configs/transfer_resnet18.py --init.from resnet18-f37072fd.pth --data.path PICTURES \\
        --workdir runs/mine

The file is torchvision's, which you download yourself; without it the config refuses to start. Any file that
`load_pretrained` reads will do, and so will the folder of a run; --init.from None starts from scratch. Its classifier
is drawn anew, images are normalised as its weights have learned them, and the backbone learns at a tenth of the head's
rate. Few images: --optim.freeze "^(?!head/dense)" trains the head alone. Twenty epochs, a batch of 64, no mixup.

Device: an accelerator. Not run here: ImageNet's weights could not be downloaded. `resnet-jax experiment transfer` does
the same with digits, in minutes on two CPU cores.
"""

from resnet_jax.config import Config, DataConfig, InitConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/transfer_resnet18",
    model=ModelConfig(name="resnet18"),
    init=InitConfig(from_="resnet18-f37072fd.pth"),
    data=DataConfig(
        path="pictures",
        channels=3,
        image_size=224,
        batch_size=64,
        crop_area=(0.25, 1.0),
        padding=0,
        horizontal_flip=True,
    ),
    optim=OptimConfig(
        peak_lr=0.01,
        warmup_epochs=1.0,
        weight_decay=1e-4,
        lr_multiplier=("^(?!head/dense)=0.1",),
        label_smoothing=0.1,
    ),
    train=TrainConfig(epochs=20.0, eval_every_epochs=2.0),
)
