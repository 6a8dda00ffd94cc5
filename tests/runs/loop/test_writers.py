import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from resnet_jax.runs.loop.writers import TensorBoard, WandB

HYPERPARAMETERS = {
    "model.name": "resnet20", "optim.peak_lr": 0.1, "optim.nesterov": True, "data.size": None, "optim.at": [1, 2],
}  # fmt: skip


def events(folder):
    """All events of all files, in the order of TensorBoard: length, its checksum, the event, its checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    for file in sorted(folder.iterdir()):
        frames = io.BytesIO(file.read_bytes())
        while header := frames.read(12):
            (length,) = struct.unpack("Q", header[:8])
            yield event_pb2.Event.FromString(frames.read(length))
            frames.read(4)


def values(folder):
    return [(event.step, value) for event in events(folder) for value in event.summary.value]


def scalars(folder):
    scalars = [(step, v.tag, round(v.simple_value, 6)) for step, v in values(folder)]
    return [entry for entry in scalars if not entry[1].startswith("_hparams_")]


def tensorboard(folder, start=0):
    pytest.importorskip("tensorboardX")
    return TensorBoard(folder, start_step=start, hyperparameters=HYPERPARAMETERS, measures=("mae", "loss"))


def test_scalars_by_name_and_step_without_non_numbers(tmp_path):
    writer = tensorboard(tmp_path)
    writer.scalars(10, {"train/loss": 1.5, "train/top1": float("nan"), "train/images_per_second": None})
    writer.scalars(20, {"test/top1": np.float32(0.5), "test/loss": float("inf")})
    writer.close()
    assert scalars(tmp_path) == [(10, "train/loss", 1.5), (20, "test/top1", 0.5)]


def test_hyperparameters_are_a_table_and_neither_a_scalar_nor_a_folder(tmp_path):
    plugin = pytest.importorskip("tensorboardX.proto.plugin_hparams_pb2")
    tensorboard(tmp_path).close()
    assert [path.is_file() for path in tmp_path.iterdir()] == [True]
    assert scalars(tmp_path) == []
    parts = [plugin.HParamsPluginData.FromString(v.metadata.plugin_data.content) for _, v in values(tmp_path)]
    assert [metric.name.tag for metric in parts[0].experiment.metric_infos] == ["test/mae", "test/loss"]
    shown = parts[1].session_start_info.hparams
    assert set(shown) == set(HYPERPARAMETERS) - {"data.size"}
    assert shown["model.name"].string_value == "resnet20" and shown["optim.nesterov"].bool_value is True
    assert shown["optim.peak_lr"].number_value == 0.1 and shown["optim.at"].string_value == "[1, 2]"


def test_resuming_makes_tensorboard_drop_events_after_the_checkpoint(tmp_path):
    for start in (0, 20):  # both within one second, and still two files
        writer = tensorboard(tmp_path, start)
        writer.scalars(start + 10, {"test/top1": 0.5})
        writer.close()
    assert [step for step, _, _ in scalars(tmp_path)] == [10, 30]
    started = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert started == [1, 21]  # steps from here on are dropped
    assert sum(v.tag == "_hparams_/session_start_info" for _, v in values(tmp_path)) == 1


def test_pictures_keep_their_pixels(tmp_path):
    writer, pixels = tensorboard(tmp_path), np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    writer.image(1, "train/batch", pixels)
    writer.image(1, "train/grey", pixels[..., :1])
    writer.close()
    colour, grey = (
        np.array(Image.open(io.BytesIO(v.image.encoded_image_string)).convert("RGB"))
        for _, v in values(tmp_path)
        if v.HasField("image")
    )
    np.testing.assert_array_equal(colour, pixels)
    np.testing.assert_array_equal(grey, np.repeat(pixels[..., :1], 3, axis=-1))


def test_wandb_offline_writes_and_resumes_the_same_run(tmp_path, capfd):
    pytest.importorskip("wandb")
    for step in (10, 20):
        writer = WandB(tmp_path, name="c20", project="nets", mode="offline", hyperparameters=HYPERPARAMETERS)
        writer.scalars(step, {"test/top1": 0.5, "test/loss": None})
        writer.image(step, "train/batch", np.ones((4, 4, 1), np.uint8))
        writer.close()
    run = (tmp_path / "wandb_id").read_text().strip()
    folders = list(tmp_path.glob("wandb/offline-run-*"))
    assert folders and all(f"-{run}" in folder.name for folder in folders)  # -1 follows of two in one second
    deadline = time.monotonic() + 30  # its service writes later, also after the run is finished
    while b"test/top1" not in (folders[0] / f"run-{run}.wandb").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert b"test/top1" in (folders[0] / f"run-{run}.wandb").read_bytes()
    assert list(folders[0].glob("files/media/images/train/batch_*.png"))
    assert capfd.readouterr() == ("", "")
