"""Sections of Debian's packages from their descriptions, 25 classes, with VDCNN-9; 3 epochs.

    python examples/package_descriptions.py packages
    python train.py --config configs/packages_vdcnn9.py

44,937 descriptions for training and 10,558 for testing (Debian 12), cut or padded to 256 characters. Packages of one
source are on one side of the split.

Device: one CPU core, an estimated 18 minutes of its time. Not run. Logistic regression on TF-IDF of words has an
accuracy of 0.8321 on the same split (benchmarks/texts.py, 2026-11-26), the most frequent class 0.1124.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TextConfig, TrainConfig

config = Config(
    workdir="runs/packages_vdcnn9",
    model=ModelConfig(name="vdcnn9"),
    data=DataConfig(path="packages", batch_size=64, text=TextConfig(length=256)),
    optim=OptimConfig(optimizer="adamw", peak_lr=1e-3, warmup_epochs=0.5, weight_decay=0.01),
    train=TrainConfig(epochs=3.0, eval_every_epochs=3.0),
)
