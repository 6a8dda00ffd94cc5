"""res15 on twelve commands of Speech Commands, version 1, as in the paper (Tang and Lin 2018).

    python examples/speech_commands.py speech_commands         (see there)
    python train.py --config configs/speech_commands_res15.py

The data and the recipe are those of speech_commands_res8.py.

Device: an accelerator, some minutes; two CPU cores, hours. Published: 95.8 +- 0.5 % (95 % confidence interval of five
runs). Not run: the data was not available.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import load_config

base = load_config(Path(__file__).with_name("speech_commands_res8.py"))

config = replace(base, workdir="runs/speech_commands_res15", model=replace(base.model, name="res15"))
