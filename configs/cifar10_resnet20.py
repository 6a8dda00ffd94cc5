"""ResNet-20 on CIFAR-10 by the recipe of He et al. 2015, section 4.2, with option A shortcuts.

    tfds build cifar10 --file_format=array_record              (once; needs TensorFlow)
    python train.py --config configs/cifar10_resnet20.py

Batch 128, 64,000 steps, learning rate 0.1 divided by 10 at 32,000 and 48,000, weight decay 1e-4 on every parameter,
pad-4 crops and flips. The paper subtracts the mean per pixel; this config subtracts the mean per channel and divides
by the standard deviation.

Device: one accelerator; 8.2 million images, a quarter of an hour at 10,000 images/s. On two CPU cores, at the 120
images/s measured there, 19 hours. Published test error: 8.75 %. Not run: the data was not available.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

STEPS_PER_EPOCH = 50_000 // 128

config = Config(
    workdir="runs/cifar10_resnet20",
    model=ModelConfig(name="cifar_resnet20"),
    data=DataConfig(
        name="cifar10",
        padding=4,
        horizontal_flip=True,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    optim=OptimConfig(
        schedule="step",
        warmup_epochs=0.0,
        decay_epochs=(32_000 / STEPS_PER_EPOCH, 48_000 / STEPS_PER_EPOCH),
        weight_decay=1e-4,
        decay_all=True,
    ),
    train=TrainConfig(epochs=64_000 / STEPS_PER_EPOCH, log_every_steps=100, eval_every_epochs=5.0),
)
