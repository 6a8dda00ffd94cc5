"""SkipNet-38 on scikit-learn's digits: blocks that each image runs or skips (Wang et al. 2018).

    python train.py --config configs/digits_skipnet38.py
    python benchmarks/skipping.py runs/digits_skipnet38

Twenty epochs with soft gates, then twenty with hard ones; half the share of blocks that are run is added to the loss.

Device: two CPU cores, 187 seconds (jax 0.10.2, 2026-11-23). Test top-1 of seed 0: 0.9972 of 360 images, with 27 % of
the blocks run. Recurrent gates, by --model.name cifar_skipnet38_rnn --optim.gate-penalty 1, took 130 seconds: 0.9944,
with 20 %.
"""

from resnet_jax.config import Config, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/digits_skipnet38",
    model=ModelConfig(name="cifar_skipnet38"),
    optim=OptimConfig(gate_penalty=0.5),
    train=TrainConfig(soft_gate_epochs=20.0),
)
