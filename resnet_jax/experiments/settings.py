"""Default settings of each experiment: the digits, minutes on two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnet_jax.config import Config, DataConfig, LogConfig, ModelConfig, OptimConfig, TrainConfig


@dataclass(frozen=True)
class Settings:
    """Depths and seeds of an experiment; all its runs start from `config` and lie in its workdir."""

    config: Config
    depths: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)


BASE = Config(
    data=DataConfig(padding=0),
    optim=OptimConfig(warmup_epochs=2.0),
    log=LogConfig(tensorboard=False),
    train=TrainConfig(epochs=20.0, eval_every_epochs=5.0, log_every_steps=11),
)
DEFAULTS = {
    "degradation": Settings(replace(BASE, workdir="runs/degradation"), depths=(20, 56)),
    "gradients": Settings(
        replace(
            BASE,
            workdir="runs/gradients",
            optim=OptimConfig(warmup_epochs=1.0),
            train=TrainConfig(epochs=5.0, eval_every_epochs=5.0, log_every_steps=1, gradient_flow=True),
        ),
        depths=(20, 32, 56),
    ),
    "transfer": Settings(
        replace(BASE, workdir="runs/transfer", model=ModelConfig(name="cifar_resnet20")), seeds=(0, 1, 2, 3, 4)
    ),
}
