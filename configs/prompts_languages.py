"""The language of spoken telephone prompts, of speakers that were heard in training and of others.

    python examples/voice_prompts.py packages prompts      (see there)
    python train.py --config configs/prompts_languages.py
    resnet-jax eval runs/prompts_languages --data.test-split test_unseen

Five languages with one speaker each, so a net may learn the voice instead of the language: "test_seen" has other
prompts of these speakers, "test_unseen" those of second speakers of Spanish, French and Italian. Two seconds of each
prompt, with each band normalised, and two masks of bands and of frames.

Device: one CPU core (AMD EPYC, jax 0.10.1, 2026-11-26), 90 s. Seeds 0 to 4, top-1: 0.9325 +- 0.0145 of 409
prompts of the same speakers (0.9169, 0.9560, 0.9291, 0.9340, 0.9267), and 0.2106 +- 0.0474 of 966 prompts of other
speakers (0.2919, 0.2029, 0.2039, 0.1812, 0.1729), where one of five is right by chance: the net learns the voices.
French of a second speaker is mostly taken for Russian.
"""

from resnet_jax.config import AudioConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/prompts_languages",
    model=ModelConfig(name="res8_narrow"),
    data=DataConfig(
        path="prompts/languages",
        labels="metadata.csv",
        test_split="test_seen",
        batch_size=64,
        audio=AudioConfig(
            sample_rate=8000,
            seconds=2.0,
            window=0.032,
            hop=0.016,
            bands=40,
            normalise="each",
            mask_bands=(2, 8),
            mask_frames=(2, 16),
        ),
    ),
    optim=OptimConfig(optimizer="adamw", peak_lr=5e-3, weight_decay=1e-3, warmup_epochs=1.0),
    train=TrainConfig(epochs=30.0, eval_every_epochs=10.0),
)
