"""Runs on pairs of images and captions: one result on any number of devices, evaluation, what is refused."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from small_run import records

from resnet_jax import load_checkpoint, load_pretrained
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.main import main
from resnet_jax.config import (
    CaptionConfig,
    Config,
    DataConfig,
    InitConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    ResumeConfig,
    TrainConfig,
)
from resnet_jax.data import tokenizer
from resnet_jax.data.scenes.captions import CAPTION_SCENES
from resnet_jax.distributed import processes
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.planning.survey import survey
from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.runs.saved.zero_shot import ZeroShot, check_known, open_clip, tokenizer_of
from resnet_jax.runs.starting.warm_start import warm_start
from resnet_jax.runs.trainer import train
from resnet_jax.tasks import Contrastive
from resnet_jax.weights import convert_weights
from resnet_jax.weights.writers import write_weights

SMALL = ("image_tower=cifar_resnet8", "embed_dim=8", "text_width=8", "text_heads=2", "text_layers=1")


def config(folder, mode="pmap", **optim):
    return Config(
        workdir=str(folder),
        task="contrastive",
        model=ModelConfig(name="clip_resnet50", options=SMALL, frozen_norms=("all",)),
        data=DataConfig(name="scenes", batch_size=8, eval_batch_size=4, captions=CaptionConfig(length=16)),
        optim=OptimConfig(peak_lr=0.01, warmup_epochs=0.0, **optim),
        train=TrainConfig(steps=3, log_every_steps=1, eval_every_epochs=1.0, parallel=mode),
        log=LogConfig(tensorboard=False),
    )


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        for split, count in {"train": 24, "test": 10, "combinations": 6}.items():
            patch.setitem(CAPTION_SCENES, split, count)
        yield


def devices(patch, count):
    every = jax.devices()
    patch.setattr(processes, "devices", lambda: every[:count])


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    with pytest.MonkeyPatch.context() as patch:
        devices(patch, 1)
        return folder, train(config(folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "optim"), [("shard_map", {}), ("pmap", {"accumulate": 2}), ("pmap", {"local_loss": False})]
)
def test_several_devices_and_parts_train_as_one(one, tmp_path, monkeypatch, mode, optim):
    folder, results = one
    devices(monkeypatch, 2)
    assert train(config(tmp_path / "run", mode, **optim)) == pytest.approx(results, abs=0.11)  # one of ten images
    trees = [open_checkpoint(path).arrays["params"] for path in (folder, tmp_path / "run")]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), *trees)


def test_a_run_tests_the_recall_and_is_evaluated_on_held_out_combinations(one, monkeypatch):
    folder, results = one
    devices(monkeypatch, 1)
    assert results["images"] == 10 and 0 <= results["r1"] <= 1
    last = records(folder, "test")[-1]
    assert json.loads((folder / "evaluation/retrieval.json").read_text())["metrics"]["r1"] == results["r1"]
    assert last["text_to_image_r10"] == 1 and last["r1"] == results["r1"]
    assert {"batch_r1", "logit_scale"} <= records(folder, "train")[-1].keys()
    metadata = open_checkpoint(folder).metadata
    assert metadata["task"] == "contrastive" and "seven" in metadata["classes"] and json.dumps(metadata)
    run_config = config(folder).data
    same = open_evaluation([str(folder)], run_config).evaluate()
    assert {name: same.metrics[name] for name in ("r1", "image_to_text_r5")} == pytest.approx(
        {name: results[name] for name in ("r1", "image_to_text_r5")}
    )
    on_others = open_evaluation([str(folder)], run_config, split="combinations")
    others = on_others.evaluate()
    assert on_others.heading(6).endswith("on scenes (combinations), 6 pairs")
    assert len(others.predictions.indices) == 6 and others.metrics["image_to_text_r10"] == 1
    with pytest.raises(ValueError, match="--protocol ten-crop: expected single for the task contrastive"):
        open_evaluation([str(folder)], run_config, protocol="ten-crop")
    with pytest.raises(ValueError, match="^expected one net of the task contrastive, got 2; evaluate each on its own$"):
        open_evaluation([str(folder)] * 2, run_config)


def test_a_run_classifies_images_of_other_sizes_by_texts(one, tmp_path):
    for name, value in (("a_three", 0), ("an_eight", 255)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((40, 50, 3), value, np.uint8)).save(tmp_path / name / "0.png")
    data = DataConfig(path=str(tmp_path))
    with pytest.raises(ValueError, match="expected a text with words of the net's captions, got 'Zebra'; it knows "):
        check_known(tokenizer_of(open_clip(str(one[0]))), "Zebra")
    check_known(tokenizer_of(open_clip(str(one[0]))), "Zebra three")
    own = tokenizer.tokenizer_of(load_checkpoint(one[0]))
    assert own == tokenizer_of(open_clip(str(one[0]))) and "seven" in own.tokens and own.length == 16
    unknown = "^expected labels with words of the net's captions, got 'cat', 'dog'; it knows a, "
    with pytest.raises(ValueError, match=unknown):
        open_evaluation([str(one[0])], data, zero_shot=ZeroShot(None, ("cat", "dog")))
    with pytest.warns(UserWarning, match="one token: 'cat', 'dog', 'wild'$"):  # of another length
        open_evaluation([str(one[0])], data, zero_shot=ZeroShot(None, ("cat", "wild dog")))
    with pytest.warns(UserWarning, match="where unknown words are one token: 'threes'$"):
        open_evaluation([str(one[0])], data, zero_shot=ZeroShot(("a {}s",), ("three", "eight left of a three")))
    result = open_evaluation([str(one[0])], data, zero_shot=ZeroShot()).evaluate()  # the names alone: no warning
    assert result.task.classes == ("a_three", "an_eight") and result.metrics["top1"] in (0, 0.5, 1)


def test_a_run_reads_byte_pairs_and_is_evaluated_with_them(tmp_path, monkeypatch):
    pytest.importorskip("ftfy")
    pytest.importorskip("regex")
    devices(monkeypatch, 1)
    plain = config(tmp_path / "run")
    byte_pairs = replace(plain, data=replace(plain.data, captions=CaptionConfig("clip", 12)))
    results = train(replace(byte_pairs, train=replace(plain.train, steps=1)))
    params = open_checkpoint(tmp_path / "run").arrays["params"]
    assert params["text_tower"]["token_embedding"]["embedding"].shape == (49_408, 8)
    evaluated = open_evaluation([str(tmp_path / "run")], plain.data).evaluate()  # whatever the options of captions are
    assert evaluated.metrics["image_to_text_r5"] == pytest.approx(results["image_to_text_r5"])


def test_a_run_starts_from_weights_of_both_towers(one, tmp_path, monkeypatch):
    folder, _ = one
    devices(monkeypatch, 1)
    plain = config(tmp_path / "run")
    started = replace(plain, init=InitConfig(from_=str(folder)), optim=replace(plain.optim, peak_lr=1e-12))
    train(replace(started, train=replace(plain.train, steps=1)))
    trees = [open_checkpoint(path).arrays["params"] for path in (folder, tmp_path / "run")]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *trees)
    model, tokens = make_plan(plain).model, open_checkpoint(folder).metadata["classes"]
    convert_weights(folder, file := tmp_path / "both.npz", to="npz")
    without = write_weights(load_pretrained(file)._replace(classes=None), tmp_path / "without.npz", "npz")
    for source, words in ((folder, tokens), (file, tokens), (without, ())):
        start = warm_start(source, model, words, task=Contrastive())
        assert "both towers" in start.message and "classifier" not in start.message
        for a, b in zip(jax.tree.leaves(start.variables["params"]), jax.tree.leaves(trees[0]), strict=True):
            np.testing.assert_array_equal(a, b)
        with pytest.raises(ValueError, match="--init.head new: expected a net with classes"):
            warm_start(source, model, words, head="new", task=Contrastive())
    with pytest.raises(ValueError, match=f"expected captions with the {len(tokens) - 2} words .* CLIP's byte pairs"):
        warm_start(folder, model, (), task=Contrastive())
    with pytest.raises(ValueError, match=f"has {len(tokens) + 2} tokens of captions, whose words are not known; exp"):
        warm_start(without, model, tokens, task=Contrastive())
    longer, shape = model.clone(context_length=77), r"\(as \[16, 8\] for \[77, 8\]\)"
    for source, problem in (
        (folder, r"text_tower/positional_embedding: expected \[77, 8\], got \[16, 8\]"),
        (file, shape),
    ):
        with pytest.raises(ValueError, match=rf"{problem}; did you mean --data.captions.length 16\?$"):
            warm_start(source, longer, tokens, task=Contrastive())
    with pytest.raises(ValueError, match="expected text_act 'gelu', got 'quick_gelu'"):
        warm_start(folder, model.clone(text_act="gelu"), tokens, task=Contrastive())


def test_a_run_keeps_the_words_of_its_weights_and_resumes_with_them(one, tmp_path, capsys, monkeypatch):
    """Other captions have a word more, which the net does not know, and too few others for a net of their own."""
    devices(monkeypatch, 1)
    folder, _ = one
    words = open_checkpoint(folder).metadata["classes"]
    (tmp_path / "pairs").mkdir()
    rows = ["file_name,caption"]
    for i in range(10):
        Image.fromarray(np.full((32, 32, 3), 25 * i, np.uint8)).save(tmp_path / f"pairs/{i}.png")
        rows.append(f"{i}.png,a zebra right of a three {'a ' * 20}")
    (tmp_path / "pairs/metadata.csv").write_text("\n".join(rows))
    plain = config(tmp_path / "run")
    other = replace(plain.data, name=DataConfig.name, path=str(tmp_path / "pairs"), batch_size=4)
    result = survey(other, sheet=str(tmp_path / "sheet.png"), batches=1, label_kind="caption")
    count = result.served["train[training]"]
    cut = f"{count} of {count} captions are cut to 16 tokens"
    assert result.notes[-1] == f"{cut}, with start and end (--data.captions.length)"
    lines = result.lines(120)
    assert lines[0].endswith("train 10 pairs") and lines[2] == "5 words of captions: a, of, right, three, zebra"
    assert "classes" not in result.record() and len(result.record()["tokens"]) == 7
    started = replace(plain, data=other, init=InitConfig(from_=str(folder)), train=replace(plain.train, steps=1))
    train(started)
    messages = capsys.readouterr().out
    assert "not in the net's vocabulary are one token: zebra" in messages
    assert open_checkpoint(tmp_path / "run").metadata["classes"] == words
    train(replace(started, init=InitConfig(), train=replace(started.train, steps=2), resume=ResumeConfig(True)))
    assert open_checkpoint(tmp_path / "run").step == 2
    assert open_checkpoint(tmp_path / "run").metadata["classes"] == words


def test_mistakes_are_named_before_any_work(tmp_path):
    plain = config(tmp_path)
    with pytest.raises(ValueError, match="--model.name cifar_resnet8 is not for --task contrastive; expected clip"):
        make_plan(replace(plain, model=ModelConfig(name="cifar_resnet8")))
    with pytest.raises(ValueError, match="clip_resnet50 is not for --task classification; did you mean --task contra"):
        make_plan(replace(plain, task="classification"))
    with pytest.raises(ValueError, match="data.mixup is for images of one class; expected none with captions"):
        make_plan(replace(plain, data=replace(plain.data, mixup=0.2)))
    sigmoid = replace(plain, optim=OptimConfig(contrastive_loss="sigmoid"))
    with pytest.raises(ValueError, match="a net with a bias of the logits; --model.options image_tower=cifar_resnet8 "):
        make_plan(sigmoid)
    with_bias = replace(sigmoid.model, options=(*SMALL, "init_logit_bias=-10.0"))
    assert make_plan(replace(sigmoid, model=with_bias)).model.init_logit_bias == -10.0
    with pytest.raises(ValueError, match="optim.local_loss is for --task contrastive, got --task classification"):
        make_plan(Config(workdir=str(tmp_path), optim=OptimConfig(local_loss=False)))


def test_a_batch_has_pairs_to_compare_and_sizes_are_those_of_the_captions(tmp_path):
    small = config(tmp_path)
    with pytest.raises(ValueError, match="--data.batch-size: expected at least 2 pairs, which are compared, got 1"):
        make_plan(replace(small, data=replace(small.data, batch_size=1)))
    other = replace(small, model=replace(small.model, options=(*SMALL, "context_length=5")))
    with pytest.raises(ValueError, match="model.options context_length: expected 16, as the data has, got 5"):
        make_plan(other)


def test_a_file_of_a_run_keeps_its_words(one, tmp_path, capsys, monkeypatch):
    devices(monkeypatch, 1)
    folder, _ = one
    words = open_checkpoint(folder).metadata["classes"]
    net = load_pretrained(convert_weights(folder, tmp_path / "pairs.npz", "npz"))
    assert list(net.classes) == words and net.model.vocabulary_size == len(words) + 2
    run_config = config(folder).data
    run = open_evaluation([str(folder)], run_config, split="combinations").evaluate()
    file = open_evaluation([str(tmp_path / "pairs.npz")], run_config, split="combinations").evaluate()
    assert file.metrics == pytest.approx(run.metrics)
    main(["convert", str(folder), str(tmp_path / "again.npz")])
    message = f"clip_resnet50 with our own names, features of 8 numbers, {len(words) - 2} words of captions"
    assert message in capsys.readouterr().out
    for name, size in (("a", (40, 50)), ("b", (36, 33))):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,a three\nb.png,a seven\n")
    photos = open_evaluation([str(tmp_path / "pairs.npz")], DataConfig(path=str(tmp_path))).source
    assert next(photos.eval_batches(2))["image"].shape == (2, 28, 28, 3)  # cropped, as photographs differ in size

    without = write_weights(net._replace(classes=None), tmp_path / "without.npz", "npz")
    with pytest.raises(ValueError, match=f"of 49,408 tokens, got {len(words) + 2}, whose words are not known; name"):
        open_evaluation([str(without)], run_config)
    main(["convert", str(without), str(tmp_path / "again-without.npz")])
    assert f"{len(words) + 2} tokens of captions without names" in capsys.readouterr().out
