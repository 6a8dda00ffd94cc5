"""The plain 20-layer twin of ResNet-20 on CIFAR-10: He et al. 2015, section 4.2, Figure 6 left.

    tfds build cifar10 --file_format=array_record              (once, where TensorFlow is installed)
    python train.py --config configs/cifar10_plain20.py

Batch 128, 64,000 steps, learning rate 0.1 divided by 10 at 32,000 and 48,000, weight decay 1e-4 on every parameter,
pad-4 crops and flips. The paper subtracts the per-pixel mean; this subtracts the mean per channel and divides by the
standard deviation.

Device: one accelerator; 8.2 million images, a quarter of an hour at 10,000 images/s. The paper prints its curve only,
at about 9 % test error. Not run here: the data could not be downloaded.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

STEPS_PER_EPOCH = 50_000 // 128

config = Config(
    workdir="runs/cifar10_plain20",
    model=ModelConfig(name="cifar_plain20"),
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
