"""The language of spoken telephone prompts, of speakers that were heard in training and of others.

python examples/voice_prompts.py packages prompts      (see there)
python train.py --config configs/prompts_languages.py
resnet-jax eval runs/prompts_languages --split test_unseen
"""

from resnet_jax.config import AudioConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/prompts_languages",
    model=ModelConfig(name="res8"),
    data=DataConfig(
        path="prompts/languages",
        labels="metadata.csv",
        test_split="test_seen",
        batch_size=64,
        audio=AudioConfig(sample_rate=8000, seconds=2.0, bands=40, normalise="each"),
    ),
    optim=OptimConfig(optimizer="adamw", peak_lr=4e-3, weight_decay=1e-3, warmup_epochs=1.0),
    train=TrainConfig(epochs=20.0, eval_every_epochs=5.0),
)
