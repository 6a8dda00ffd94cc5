"""ResNet-18 with ImageNet weights, fine-tuned on your own images: a folder with a folder of images per class.

    python train.py --config configs/transfer_resnet18.py --init.from resnet18-f37072fd.pth --data.path PICTURES \\
        --workdir runs/mine

The file is torchvision's; docs/weights.md says where to get it. Any file of a ResNet-18 that `load_pretrained` reads
works, and so does a run directory. Without the file the config does not start; --init.from None starts from scratch.
The classifier is initialised from scratch, images are normalised as the weights expect, and the backbone learns at a
tenth of the head's rate. Without --data.path the images are in the folder "pictures". For few images, --optim.freeze
'^(?!head/dense)' trains the head only. Twenty epochs, batch 64, no mixup.

Device: an accelerator. Not run: ImageNet weights were not available. `resnet-jax experiment transfer` does the same
with digits, in minutes on two CPU cores.
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
