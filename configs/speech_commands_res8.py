"""res8 on twelve commands of Speech Commands, version 1, as in the paper (Tang and Lin 2018).

    python examples/speech_commands.py speech_commands         (see there)
    python train.py --config configs/speech_commands_res8.py

40 MFCC of one second, of frames of 30 ms every 10 ms, between 20 Hz and 4 kHz; shifts of up to 100 ms and background
noise with probability 0.8. SGD with momentum 0.9 and batches of 64 for 26 epochs, about 9,000 steps; weight decay 1e-5;
the learning rate is 0.1, and a tenth of it on plateaus, which here are taken to be epochs 9 and 18. The
noise is 5 to 30 dB below the words, a choice of this file. The best epoch is that of the validation split;
--data.test-split test of resnet-jax eval has the other one.

Device: an accelerator, some minutes; two CPU cores, hours. Published: 94.1 +- 0.4 % (95 % confidence interval of five
runs). Not run: the data was not available.
"""

from resnet_jax.config import AudioConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/speech_commands_res8",
    model=ModelConfig(name="res8"),
    data=DataConfig(
        path="speech_commands",
        labels="commands.csv",
        batch_size=64,
        audio=AudioConfig(
            sample_rate=16000,
            seconds=1.0,
            front_end="mfcc",
            window=0.03,
            hop=0.01,
            bands=40,
            coefficients=40,
            low=20.0,
            high=4000.0,
            convention="librosa",
            shift=0.1,
            noise="speech_commands/_background_noise_",
            noise_ratio=(5.0, 30.0),
            noise_probability=0.8,
        ),
    ),
    optim=OptimConfig(
        optimizer="sgd",
        peak_lr=0.1,
        schedule="step",
        decay_epochs=(9.0, 18.0),
        momentum=0.9,
        weight_decay=1e-5,
        warmup_epochs=0.0,
    ),
    train=TrainConfig(epochs=26.0),
)
