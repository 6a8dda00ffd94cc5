"""ResNet-20 on Fashion-MNIST (Xiao et al. 2017): 60,000 training and 10,000 test images, grey, 28 x 28 pixels.

    apt install dataset-fashion-mnist
    python train.py --config configs/fashion_mnist_resnet20.py

The Debian package installs the data where this config expects it. Elsewhere, --data.path names the folder of the four
IDX files. Pad-2 crops and flips, cutout of 8 pixels, cosine schedule from 0.1.

Device: any; two CPU cores take about three and a half hours, at the 150 images/s measured there. Not run at full
length. One and a half epochs (seed 0, two busy cores, 14 minutes; jax 0.10.2, 2026-11-22) reach a test top-1 of
0.9057:

    --train.epochs 1.5 --train.eval-every-epochs 1.5 --data.batch-size 32 --optim.peak-lr 0.05
    --optim.warmup-epochs 0.1 --data.cutout 0 --data.padding 0 --data.no-horizontal-flip
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/fashion_mnist_resnet20",
    model=ModelConfig(name="cifar_resnet20"),
    data=DataConfig(
        path="/usr/share/datasets/fashion-mnist",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        padding=2,
        horizontal_flip=True,
        cutout=8,
    ),
    optim=OptimConfig(warmup_epochs=1.0),
    train=TrainConfig(epochs=30.0, log_every_steps=100, eval_every_epochs=1.0),
)
