"""ResNet-110 on CIFAR-10 by the recipe of He et al. 2015, section 4.2, with option A shortcuts.

    tfds build cifar10 --file_format=array_record              (once; needs TensorFlow)
    python train.py --config configs/cifar10_resnet110.py

Batch 128, 64,000 steps, learning rate 0.1 divided by 10 at 32,000 and 48,000, weight decay 1e-4 on every parameter,
pad-4 crops and flips. The paper subtracts the mean per pixel; this config subtracts the mean per channel and divides
by the standard deviation.

The first 400 steps use a tenth of the rate; the paper does so until the training error is below 80 %.

Device: one accelerator; 8.2 million images, the time of six ResNet-20 runs. Published test error: 6.43 % (best of
five; mean 6.61, standard deviation 0.16). Not run: the data was not available.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import ModelConfig, load_config

STEPS_PER_EPOCH = 50_000 // 128

base = load_config(Path(__file__).with_name("cifar10_resnet20.py"))

config = replace(
    base,
    workdir="runs/cifar10_resnet110",
    model=ModelConfig(name="cifar_resnet110"),
    optim=replace(base.optim, warmup_epochs=400 / STEPS_PER_EPOCH, warmup_from=0.1, warmup_flat=True),
)
