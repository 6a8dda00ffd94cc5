"""Plans of runs on texts: classes of texts of one length, and windows of a text for a language model."""

import numpy as np
import pytest

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TextConfig, TrainConfig
from resnet_jax.inputs import preprocess_of
from resnet_jax.runs.planning.datasets import open_configured_dataset
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.planning.sequence_data import open_sequence_split
from resnet_jax.tasks import LanguageModel

CORPUS = "".join(f"line {number}: the cat sat on the mat.\n" for number in range(100))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    rows = "".join(f"{'good' if i % 2 else 'bad'} number {i},{'yes' if i % 2 else 'no'}\n" for i in range(60))
    (folder / "reviews.csv").write_text("text,label\n" + rows)
    (folder / "corpus.txt").write_text(CORPUS)
    return folder


def of(path, net, task="classification", text=None, **data):
    return Config(
        workdir=str(path.parent / "run"),
        task=task,
        model=ModelConfig(name=net),
        data=DataConfig(path=str(path), batch_size=8, text=text or TextConfig(), **data),
        optim=OptimConfig(warmup_epochs=0.0),
        train=TrainConfig(epochs=2.0),
    )


def language_model(folder, **options):
    text = TextConfig(length=32, context=8)
    return of(folder / "corpus.txt", "gcnn8_char", "language_model", **{"text": text, **options})


def test_a_plan_of_texts_with_classes(folder):
    plan = make_plan(of(folder / "reviews.csv", "vdcnn9", text=TextConfig(length=64)))
    assert plan.train.classes == ("no", "yes")
    assert (plan.train.image_shape, plan.train.has_lengths) == ((64,), False)
    assert (plan.model.vocabulary_size, plan.model.num_classes) == (69, 2)
    assert plan.train.num_examples + plan.test.num_examples == 60
    batch = next(plan.train.batches(0, batch_size=8))
    assert (batch["image"].dtype, batch["image"].shape) == (np.int32, (8, 64))
    assert preprocess_of(plan.preprocess.record()) == plan.preprocess


def test_texts_of_their_own_lengths_come_in_buckets(folder):
    text = TextConfig(tokens="words", most=20, lowercase=True)
    plan = make_plan(of(folder / "reviews.csv", "vdcnn9", text=text, buckets=2))
    assert plan.model.vocabulary_size == 20
    assert plan.train.image_shape == (3,)


def test_a_plan_of_a_language_model(folder):
    plan = make_plan(language_model(folder))
    vocabulary = plan.preprocess.tokenizer.vocabulary.tokens
    assert isinstance(plan.task, LanguageModel)
    assert plan.task.tokens == plan.train.classes == plan.test.classes == vocabulary
    assert set(vocabulary[2:]) == set(CORPUS)
    assert plan.model.num_classes == plan.model.vocabulary_size == len(vocabulary)
    # The first four fifths of the lines train; a window of training shares no token with the next one but by chance.
    characters = len("".join(line for line in CORPUS.splitlines(keepends=True)[:80])) + 1
    assert plan.train.num_examples == characters // 32
    assert plan.steps_per_epoch == plan.train.num_examples // 8
    batch = next(plan.train.batches(0, batch_size=8))
    assert batch["image"].shape == (8, 32)
    assert batch["label"].tolist() == [1] * 8
    first = next(plan.test.eval_batches(4))
    assert first["label"].tolist() == [1, 8, 8, 8]
    assert plan.preprocess.decode(first["image"][0]).startswith("\nline 80: the cat")


def test_a_split_of_a_trained_net_has_its_vocabulary(folder):
    plan = make_plan(language_model(folder))
    dataset = open_configured_dataset(plan.config.data, None, "next-token", "text")
    again = open_sequence_split(
        plan.config.data, dataset, "train[80%:]", plan.preprocess, plan.train.classes, "next-token"
    )
    assert again.classes == plan.train.classes
    batches = zip(again.eval_batches(4), plan.test.eval_batches(4), strict=True)
    assert all((one["image"] == other["image"]).all() for one, other in batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": 3}, "data.per_class is for classes; --task language_model has none"),
        ({"balance": True}, "data.balance is for classes; --task language_model has none"),
        ({"text": TextConfig(length=8, context=8)}, "context: expected 1 to 7, below the length of a window, got 8"),
        ({"label_column": "x"}, "label_column='x': language models predict the text itself; expected no column"),
    ],
)
def test_options_that_do_not_fit_a_language_model_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        make_plan(language_model(folder, **options))


def test_options_of_language_models_do_not_fit_others(folder):
    with pytest.raises(ValueError, match=r"^data\.text\.context=4 is for --task language_model$"):
        make_plan(of(folder / "reviews.csv", "vdcnn9", text=TextConfig(context=4)))
    with pytest.raises(ValueError, match=r"corpus\.txt has no labels of kind 'class'"):
        make_plan(of(folder / "corpus.txt", "vdcnn9"))
