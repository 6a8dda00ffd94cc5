"""The ResNet of time series (Wang, Yan and Oates 2017) on the Japanese vowels, which come with the package.

    python train.py --config configs/series_default.py

270 utterances for training and 370 for testing, as series of 7 to 29 steps with 12 channels; the class is one of nine
speakers, who are the same in both. The channels are normalised by numbers of the training series. The options were
chosen before the first test and not changed afterwards; they are not those of the paper, which trains for 1,500 epochs.

Device: one CPU core (AMD EPYC, jax 0.10.1, 2026-11-26) with other work on it: 29 seconds of its time, half of them to
compile; 14 seconds once compiled. Test top-1 of seeds 0 to 4: 0.9838, 0.9919, 0.9892, 0.9838, 0.9892 (mean 0.9876).
Another processor or version of JAX rounds otherwise, and gives other results by a series or two.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, SeriesConfig, TrainConfig

config = Config(
    workdir="runs/series_default",
    model=ModelConfig(name="tsc_resnet"),
    data=DataConfig(
        name="japanese_vowels", series=SeriesConfig(normalise="train"), batch_size=27, eval_batch_size=370, buckets=2
    ),
    optim=OptimConfig(optimizer="adamw", peak_lr=1e-3, weight_decay=1e-4),
    train=TrainConfig(epochs=40.0, eval_every_epochs=20.0),
)
