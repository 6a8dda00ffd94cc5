"""Every file in configs/ loads, builds and traces."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import recipe

from resnet_jax import create_model, get_spec
from resnet_jax.config import Config, from_dict, load_config, to_dict
from resnet_jax.data.loading.samplers import epoch_steps
from resnet_jax.runs.planning.datasets import make_augmentation
from resnet_jax.runs.planning.optimizer import make_optimizer, make_schedule
from resnet_jax.runs.planning.plan import model_overrides
from resnet_jax.runs.planning.sequence_data import audio_preprocess
from resnet_jax.runs.planning.sound_augmentation import check_sound_augmentation
from resnet_jax.steps import make_train_step
from resnet_jax.tasks import TaskOptions, get_task
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step
from resnet_jax.types import Preprocess

FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
DENSE_FILES = [file for file in FILES if load_config(file).task in ("segmentation", "detection")]
SERIES_FILES = [file for file in FILES if get_spec(load_config(file).model.name).input_kind == "series"]
SOUND_KINDS = ("waveform", "spectrogram")
SOUND_FILES = [file for file in FILES if get_spec(load_config(file).model.name).input_kind in SOUND_KINDS]
PAIR_FILES = [file for file in FILES if get_spec(load_config(file).model.name).input_kind == "image-text"]
TEXT_FILES = [file for file in FILES if get_spec(load_config(file).model.name).input_kind == "tokens"]
DATA = {  # examples, pixels a side (of series: steps; of texts: tokens), channels (vocabulary), classes
    "digits": (1437, 8, 1, 10),
    "fashion": (60_000, 28, 1, 10),
    "cifar10": (50_000, 32, 3, 10),
    "folder": (800, 128, 3, 4),
    "folder_retinanet": (18, 256, 3, 3),
    "folder_deeplabv3": (18, 256, 3, 4),
    "transfer": (800, 224, 3, 4),
    "imagenet": (1_281_167, 224, 3, 1000),
    "scenes": (1440, 96, 3, 10),
    "trees": (35, 384, 3, 1),
    "coco": (117_266, 1344, 3, 80),
    "voc": (1464, 480, 3, 21),
    "series": (270, 29, 12, 9),
    "snippets": (8409, 192, 69, 2),
    "packages": (44_937, 256, 69, 25),
    "ag": (120_000, 1024, 69, 4),
    "bible": (14_694, 256, 65, 65),
    "ucr": (50, 150, 1, 2),  # GunPoint
    "speech": (22_246, None, 1, 12),
    "librispeech": (281_241, None, 1, 29),
    "prompts_languages": (1906, None, 1, 5),
    "prompts_ctc": (409, None, 1, 28),
    "captions": (12_000, 32, 3, 26),
}


def test_the_named_files_are_here():
    cifar = {f"cifar10_{net}" for net in ("resnet20", "resnet56", "resnet110", "plain20", "plain56")}
    imagenet = {f"imagenet_resnet{depth}" for depth in (18, 50, 101, 152)}
    assert {file.stem for file in FILES} >= {
        "digits_resnet20",
        "fashion_mnist_resnet20",
        "folder_resnet18",
        "transfer_resnet18",
    } | cifar | imagenet
    assert load_config(FILES[[f.stem for f in FILES].index("digits_resnet20")]) == Config()


def data_of(file):
    return DATA.get(file.stem) or DATA[file.stem.split("_")[0]]


def check_file(file):
    """The config of a file, its round trip, note and schedule; with its optimiser."""
    config = load_config(file)
    assert from_dict(to_dict(config)) == config
    note = " ".join(file.read_text().partition('"""\n\nfrom')[0].split())
    assert f"--config configs/{file.name}" in note and "Device: " in note
    assert any(
        word in note for word in ("Not run", "top-1", "mAP", "MAE", "mIoU", "AP50", "bits", "CER", "accuracy", "R@1")
    )
    examples, size, channels, _ = data_of(file)
    assert config.data.image_size in (None, size) and config.data.channels in (None, channels)
    assert config.data.text.length in (None, size)
    batch_size = config.data.batch_size
    per_epoch = epoch_steps(examples, batch_size, keeps_last=config.data.last_batch == "keep")
    steps = round(config.train.epochs * per_epoch)
    schedule = make_schedule(config.optim, batch_size=batch_size, steps_per_epoch=per_epoch, steps=steps)
    rates = np.array([schedule(step) for step in np.linspace(0, steps - 1, 50).astype(int)])
    scale = batch_size / (config.optim.lr_reference_batch or batch_size)
    assert 0.9 < rates.max() / (config.optim.peak_lr * scale) < 1.001
    least = 0.02 if config.optim.decay_factor != 0.5 else 0.07  # halved in AG News
    assert rates[-1] < least * rates.max() or config.optim.schedule == "plateau"  # which falls with the loss
    return config, make_optimizer(config.optim, schedule)


@pytest.mark.parametrize("file", DENSE_FILES, ids=lambda file: file.stem)
def test_dense_config_builds(file):
    """Its net gives losses or logits of a small canvas."""
    config, _ = check_file(file)
    *_, channels, classes = data_of(file)
    is_detector = config.task == "detection"
    overrides = model_overrides(config.model, num_classes=classes + is_detector, in_channels=channels)
    model = create_model(config.model.name, **overrides)
    images = jax.ShapeDtypeStruct((2, 96, 96, channels), np.float32)
    outputs, _ = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), images)
    if is_detector:
        assert outputs.boxes.shape[::2] == (2, 4) and (outputs.masks is not None) == ("mask" in file.stem)
    else:
        assert outputs.logits.shape == (2, 96, 96, classes)


@pytest.mark.parametrize("file", SERIES_FILES, ids=lambda file: file.stem)
def test_series_config_builds_and_its_step_traces(file):
    config, tx = check_file(file)
    _, steps, channels, classes = data_of(file)
    model = create_model(config.model.name, **model_overrides(config.model, num_classes=classes, in_channels=channels))
    series = jax.ShapeDtypeStruct((8, steps, channels), np.float32)
    numbers = jax.ShapeDtypeStruct((8,), np.int32)
    state = jax.eval_shape(lambda: TrainState.create(model, tx, jax.random.key(0), series))
    batch = {"image": series, "label": numbers, "lengths": numbers}
    new, metrics = jax.eval_shape(make_train_step(model, tx, axis_name=None), state, batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics["loss"].shape == ()


@pytest.mark.parametrize("file", SOUND_FILES, ids=lambda file: file.stem)
def test_sound_config_builds_and_its_objective_traces(file):
    config, _ = check_file(file)
    *_, channels, classes = data_of(file)
    sound = audio_preprocess(config.data.audio, get_spec(config.model.name).input_kind)
    check_sound_augmentation(replace(config.data.audio, noise=None), sound, get_task(config.task).label_kind)
    model = create_model(config.model.name, **model_overrides(config.model, num_classes=classes, in_channels=channels))
    source = SimpleNamespace(classes=tuple(map(str, range(classes))), labels=np.zeros(0, np.int32), num_examples=0)
    task = get_task(config.task).for_data(source, TaskOptions())
    shape = (2, *sound.spatial_shape(sound.fixed_length or 2 * sound.sample_rate), channels)
    numbers = jax.ShapeDtypeStruct((2,), np.int32)
    batch = {"image": jax.ShapeDtypeStruct(shape, np.float32), "label": numbers, "mask": numbers, "index": numbers}
    if config.task == "transcription":
        labels = jax.ShapeDtypeStruct((2, 5), np.int32)
        batch |= {"label": labels, "label_lengths": numbers, "lengths": numbers}

    def loss(batch):
        outputs, _ = model.init_with_output(jax.random.key(0), batch["image"], train=False)
        return task.objective(outputs, batch, None)[0]["loss"].total

    assert jax.eval_shape(loss, batch).shape == ()


@pytest.mark.parametrize("file", TEXT_FILES, ids=lambda file: file.stem)
def test_text_config_builds_and_its_objective_traces(file):
    config, _ = check_file(file)
    _, length, size, classes = data_of(file)
    overrides = model_overrides(config.model, num_classes=classes, vocabulary_size=size)
    model = create_model(config.model.name, **overrides)
    names = tuple(map(str, range(classes)))
    source = SimpleNamespace(classes=names, labels=np.zeros(0, np.int32), num_examples=0)
    task = get_task(config.task).for_data(source, TaskOptions())
    tokens, numbers = jax.ShapeDtypeStruct((8, length), np.int32), jax.ShapeDtypeStruct((8,), np.int32)
    batch = {"image": tokens, "label": numbers, "mask": jax.ShapeDtypeStruct((8,), np.float32)}

    def objective(batch):
        outputs, _ = model.init_with_output(jax.random.key(0), batch["image"], train=True)
        return task.objective(outputs, batch, None), outputs.logits

    (terms, _), logits = jax.eval_shape(objective, batch)
    assert terms["loss"].total.shape == ()
    assert logits.shape == ((8, length, size) if config.task == "language_model" else (8, classes))


@pytest.mark.parametrize("file", PAIR_FILES, ids=lambda file: file.stem)
def test_pair_config_builds_and_its_step_traces(file):
    config, tx = check_file(file)
    _, size, channels, tokens = data_of(file)
    sizes = {"vocabulary_size": tokens, "context_length": config.data.captions.length}
    model = create_model(
        config.model.name, **model_overrides(config.model, num_classes=0, in_channels=channels, **sizes)
    )
    images = jax.ShapeDtypeStruct((8, size, size, channels), np.float32)
    labels = jax.ShapeDtypeStruct((8, config.data.captions.length), np.int32)
    state = jax.eval_shape(lambda: TrainState.create(model, tx, jax.random.key(0), images))
    task = get_task(config.task)
    step = make_step(model, tx, task.objective, axis_name=None, compares_examples=True, constraint=task.constrain)
    new, metrics = jax.eval_shape(step, state, {"image": images, "label": labels})
    assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics["logit_scale"].value.shape == ()


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if file not in (*DENSE_FILES, *SERIES_FILES, *TEXT_FILES, *SOUND_FILES, *PAIR_FILES)],
    ids=lambda file: file.stem,
)
def test_config_builds_and_its_step_traces(file):
    config, tx = check_file(file)
    _, size, channels, classes = data_of(file)
    overrides = model_overrides(config.model, num_classes=classes, in_channels=channels)
    model = recipe.small(config.model.name, **overrides)  # as its step would take long to trace
    augment = make_augmentation(config.data, Preprocess(size, size, (0.5,) * channels, (0.2,) * channels), classes)
    images = jax.ShapeDtypeStruct((8, size, size, channels), np.uint8)
    batch = {"image": images, "label": jax.ShapeDtypeStruct((8,), np.int32)}
    state = jax.eval_shape(lambda: TrainState.create(model, tx, jax.random.key(0), images))
    new, metrics = jax.eval_shape(make_train_step(model, tx, axis_name=None, augment=augment), state, batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics["loss"].shape == ()
    floats = jax.ShapeDtypeStruct(images.shape, np.float32)
    forward = jax.eval_shape(lambda state, images: model.apply(state.variables, images, train=False), state, floats)
    assert forward.logits.shape == (8, classes) and forward.logits.dtype == np.float32


def test_cifar10_is_the_papers_recipe():
    config = load_config(next(file for file in FILES if file.stem == "cifar10_resnet20"))
    schedule = make_schedule(config.optim, batch_size=128, steps_per_epoch=390, steps=64_000)
    rates = [float(schedule(i)) for i in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-5)
    assert round(config.train.epochs * 390) == 64_000


def test_the_110_layer_net_starts_at_a_tenth_of_the_rate():
    config = load_config(next(file for file in FILES if file.stem == "cifar10_resnet110"))
    schedule = make_schedule(config.optim, batch_size=128, steps_per_epoch=390, steps=64_000)
    rates = [float(schedule(i)) for i in (0, 399, 400, 31_999, 32_000)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.1, 0.1, 0.01], rtol=1e-5)
