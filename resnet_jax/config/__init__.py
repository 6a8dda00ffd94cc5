"""A run as plain data. It needs the standard library alone."""

from resnet_jax.config.checks import check_config, check_data, check_moments, check_types
from resnet_jax.config.fields import LARGEST, SIDE, Place, argument, class_weight, option
from resnet_jax.config.io import (
    changes,
    default_workdir,
    flat,
    from_dict,
    load_config,
    place,
    read_config_json,
    to_dict,
)
from resnet_jax.config.schema import (
    DEFAULT_WARMUP,
    CheckpointConfig,
    Config,
    DataConfig,
    DistributedConfig,
    InitConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    ResumeConfig,
    TrainConfig,
)
from resnet_jax.config.sequences import AudioConfig, CaptionConfig, SeriesConfig, TextConfig

__all__ = [
    "AudioConfig",
    "CaptionConfig",
    "CheckpointConfig",
    "Config",
    "DEFAULT_WARMUP",
    "DataConfig",
    "DistributedConfig",
    "InitConfig",
    "LARGEST",
    "LogConfig",
    "ModelConfig",
    "OptimConfig",
    "Place",
    "ResumeConfig",
    "SIDE",
    "SeriesConfig",
    "TextConfig",
    "TrainConfig",
    "argument",
    "changes",
    "check_config",
    "check_data",
    "check_moments",
    "check_types",
    "class_weight",
    "default_workdir",
    "flat",
    "from_dict",
    "load_config",
    "option",
    "place",
    "read_config_json",
    "to_dict",
]
