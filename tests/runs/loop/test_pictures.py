"""The pictures of a run's first batch."""

import pytest

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.runs.loop import loop
from resnet_jax.runs.trainer import train


@pytest.mark.slow
def test_the_first_step_precedes_the_pictures_of_its_batch(tmp_path, monkeypatch):
    events = []
    make_steps, image = loop.TrainingLoop._make_steps, loop.RunReporter.image

    def watched_steps(self, count, batch):
        make_steps(self, count, batch)
        events.append("step")

    def watched_image(self, step, name, picture):
        image(self, step, name, picture)
        events.append((step, name, picture.ndim))

    monkeypatch.setattr(loop.TrainingLoop, "_make_steps", watched_steps)
    monkeypatch.setattr(loop.RunReporter, "image", watched_image)
    data, optim = DataConfig(batch_size=32), OptimConfig(warmup_epochs=0.0)
    run = Config(model=ModelConfig(name="cifar_resnet8"), data=data, optim=optim, train=TrainConfig(steps=2))
    for workdir in ("straight", "straight"):  # finished, it shows no more
        train(Config(**run.__dict__ | {"workdir": str(tmp_path / workdir)}))
    assert events == ["step", (0, "train/images", 3), "step"]
