"""Sections of Debian's packages with VDCNN-9 with shortcuts: as configs/packages_vdcnn9.py, beside the plain net.

    python examples/package_descriptions.py packages
    python train.py --config configs/packages_vdcnn9_shortcut.py

Device: one CPU core. Not run.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TextConfig, TrainConfig

config = Config(
    workdir="runs/packages_vdcnn9_shortcut",
    model=ModelConfig(name="vdcnn9_shortcut"),
    data=DataConfig(path="packages", batch_size=64, text=TextConfig(length=256)),
    optim=OptimConfig(optimizer="adamw", peak_lr=1e-3, warmup_epochs=0.5, weight_decay=0.01),
    train=TrainConfig(epochs=3.0, eval_every_epochs=3.0),
)
