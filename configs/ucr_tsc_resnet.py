"""The ResNet of Wang, Yan and Oates 2017 on a set of the UCR archive, with the published recipe of dl-4-tsc.

    python train.py --config configs/ucr_tsc_resnet.py --data.path UCR/GunPoint --train.seed 0

UCR/GunPoint has GunPoint_TRAIN.ts and GunPoint_TEST.ts, or .tsv, .txt, .npz. As Ismail Fawaz et al. 2019: 1,500 epochs
of Adam with Keras' epsilon 1e-7, learning rate 0.001, half of it after 50 epochs without a lower training loss and 1e-4
at least, no weight decay, mini-batches of a tenth of the training series and at most 64, the smaller last one too; the
weights are those of the epoch with the lowest training loss, and the test series are read once, at the end. Every
series has mean 0 and deviation 1. A tenth is --data.batch-size 6 for ItalyPowerDemand, 5 for GunPoint, 3 for ArrowHead,
2 for Coffee, 10 for Trace and 27 for JapaneseVowels.

What differs: convolutions before norms have no bias, which does not change the function. JapaneseVowels has 12 channels
and 7 to 29 steps; there the recipe stretches all series to one length, and here they keep their own, padded and masked,
and are normalised by numbers of the training series: --data.series.normalise train.

Device: one CPU core (AMD EPYC, jax 0.10.1, 2026-11-26 and 27). Test top-1 of seeds 0 to 4, by benchmarks/series.py:
ItalyPowerDemand 0.9602, 0.9679, 0.9582, 0.9670, 0.9611 (mean 0.9629; published 0.9615, deviation 0.002).
GunPoint 1.0000, 0.9867, 1.0000, 1.0000, 0.9800 (mean 0.9933; published 0.991, deviation 0.007).
ArrowHead 0.8114, 0.8400, 0.8629, 0.8457, 0.8457 (mean 0.8411; published 0.838, deviation 0.021).
JapaneseVowels 0.9892, 0.9946, 0.9946, 0.9919, 0.9946 (mean 0.9930; published 0.9916, deviation 0.003).
Coffee and Trace 1.0000 with every seed (published 1.0 for both).
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/ucr_tsc_resnet",
    model=ModelConfig(name="tsc_resnet"),
    data=DataConfig(path="UCR/GunPoint", batch_size=5, eval_batch_size=32, last_batch="keep"),
    optim=OptimConfig(
        optimizer="adamw",
        peak_lr=1e-3,
        eps=1e-7,
        weight_decay=0.0,
        warmup_epochs=0.0,
        schedule="plateau",
        decay_factor=0.5,
        plateau_epochs=50,
        final_lr=1e-4,
        keep_lowest=True,
    ),
    train=TrainConfig(epochs=1500.0, eval_every_epochs=1500.0, log_every_steps=1000),
)
