"""InceptionTime (Ismail Fawaz et al. 2020) on a set of the UCR archive, with the published recipe.

    python train.py --config configs/ucr_inception_time.py --data.path UCR/GunPoint --train.seed 0

The recipe is that of configs/ucr_tsc_resnet.py, with mini-batches of 64 whatever the size of the set; a smaller set is
one batch. InceptionTime is five such nets, of five seeds, whose mean probabilities decide:

    resnet-jax eval runs/0 runs/1 runs/2 runs/3 runs/4

A batch that is not full is filled up with series of length 0, which change no number. A small set takes less time with
--data.batch-size of its size: 50 for GunPoint, 36 for ArrowHead, 28 for Coffee. What differs from the publication is
as in configs/ucr_tsc_resnet.py.

Device: one CPU core. Not run to the end.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/ucr_inception_time",
    model=ModelConfig(name="inception_time"),
    data=DataConfig(path="UCR/GunPoint", batch_size=64, eval_batch_size=32, last_batch="keep"),
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
