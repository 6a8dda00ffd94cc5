"""What each experiment is by default: on the digits, in minutes on two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_jax.config import Config, DataConfig, LogConfig, ModelConfig, OptimConfig, TrainConfig


@dataclass(frozen=True)
class Settings:
    """An experiment; `config` is the one all its runs start from, whose workdir is the folder they are in."""

    config: Config
    depths: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)


def _config(name: str, *, epochs: float, **groups: object) -> Config:
    fields: dict[str, object] = {
        "data": DataConfig(padding=0),
        "optim": OptimConfig(warmup_epochs=2.0),
        "log": LogConfig(tensorboard=False),
        "train": TrainConfig(epochs=epochs, eval_every_epochs=5.0, log_every_steps=11),
    }
    return Config(workdir=f"runs/{name}", **(fields | groups))  # type: ignore[arg-type]


DEFAULTS = {
    "degradation": Settings(_config("degradation", epochs=20.0), depths=(20, 56)),
    "gradients": Settings(
        _config(
            "gradients",
            epochs=5.0,
            train=TrainConfig(epochs=5.0, eval_every_epochs=5.0, log_every_steps=1, gradient_flow=True),
            optim=OptimConfig(warmup_epochs=1.0),
        ),
        depths=(20, 32, 56),
    ),
    "transfer": Settings(
        _config("transfer", epochs=20.0, model=ModelConfig(name="cifar_resnet20")), seeds=(0, 1, 2, 3, 4)
    ),
}
