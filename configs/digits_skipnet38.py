"""SkipNet-38 on scikit-learn's digits: each image executes or skips each block (Wang et al. 2018).

    python train.py --config configs/digits_skipnet38.py
    python benchmarks/skipping.py runs/digits_skipnet38

Twenty epochs with soft gates, then twenty with hard ones. The loss includes half the share of executed blocks.

Device: two CPU cores, 187 seconds (jax 0.10.2, 2026-11-23). Test top-1 of seed 0 on 360 images: 0.9972, with 27 % of
the blocks executed. Recurrent gates (--model.name cifar_skipnet38_rnn --optim.gate-penalty 1) took 130 seconds and
reached 0.9944 with 20 %.
"""

from resnet_jax.config import Config, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/digits_skipnet38",
    model=ModelConfig(name="cifar_skipnet38"),
    optim=OptimConfig(gate_penalty=0.5),
    train=TrainConfig(soft_gate_epochs=20.0),
)
