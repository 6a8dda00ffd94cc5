"""The plain twin of ResNet-20 on CIFAR-10: He et al. 2015, section 4.2, figure 6 (left).

    tfds build cifar10 --file_format=array_record              (once; needs TensorFlow)
    python train.py --config configs/cifar10_plain20.py

Batch 128, 64,000 steps, learning rate 0.1 divided by 10 at 32,000 and 48,000, weight decay 1e-4 on every parameter,
pad-4 crops and flips. The paper subtracts the mean per pixel; this config subtracts the mean per channel and divides
by the standard deviation.

Device: one accelerator; 8.2 million images, a quarter of an hour at 10,000 images/s. The paper shows only the curve,
at about 9 % test error. Not run: the data was not available.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import ModelConfig, load_config

base = load_config(Path(__file__).with_name("cifar10_resnet20.py"))

config = replace(
    base,
    workdir="runs/cifar10_plain20",
    model=ModelConfig(name="cifar_plain20"),
)
