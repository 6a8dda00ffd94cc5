"""InceptionTime (Ismail Fawaz et al. 2020) on a set of the UCR archive, with the published recipe.

    python train.py --config configs/ucr_inception_time.py --data.path UCR/GunPoint --train.seed 0

The recipe is that of configs/ucr_tsc_resnet.py, with mini-batches of 64 whatever the size of the set; a smaller set is
one batch. InceptionTime is five such nets, of five seeds, whose mean probabilities decide:

    resnet-jax eval runs/0 runs/1 runs/2 runs/3 runs/4

A batch that is not full is filled up with series of length 0, which change no number. A small set takes less time with
--data.batch-size of its size: 50 for GunPoint, 36 for ArrowHead, 28 for Coffee. What differs from the publication is
as in configs/ucr_tsc_resnet.py.

Device: one CPU core (AMD EPYC, jax 0.10.1, 2026-11-26 to 28). Test top-1, by benchmarks/series.py:
GunPoint, seeds 0 to 4: 1.0000, 1.0000, 0.9933, 1.0000, 1.0000 (mean 0.9987; published, five nets together, 1.0).
ItalyPowerDemand: 0.9640, 0.9679, 0.9689, 0.9689, 0.9670 (mean 0.9673; together 0.9689, published 0.9650).
JapaneseVowels: 0.9838, 0.9865, 0.9919, 0.9892, 0.9919 (mean 0.9886; together 0.9919, published 0.9919).
ArrowHead on a processor without AVX-512: 0.8743, 0.8457, 0.8514, 0.8571, 0.8171 (mean 0.8491; together 0.8514,
published 0.8457); with it, which rounds differently, seeds 0 and 1 had 0.8686, 0.8629.
Coffee and Trace: 1.0000 with every seed (published 1.0 for both).
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import load_config

base = load_config(Path(__file__).with_name("ucr_tsc_resnet.py"))

config = replace(
    base,
    workdir="runs/ucr_inception_time",
    model=replace(base.model, name="inception_time"),
    data=replace(base.data, batch_size=64),
)
