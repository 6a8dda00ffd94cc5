"""Sources of every kind, from the name to the loaded net: a tiny one, from servers on this machine."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from safetensors.numpy import save, save_file
from web_server import Page

from resnet_jax import create_model, load_pretrained
from resnet_jax.errors import DownloadFailed, MissingExtra, UnreadableWeights
from resnet_jax.models.published import PublishedWeights
from resnet_jax.weights.labels import label_set
from resnet_jax.weights.sources import resolve

MODEL = create_model("cifar_resnet8", num_classes=1000)
VARIABLES = jax.tree.map(lambda x: np.ascontiguousarray(x, np.float32), recipe.variables(MODEL))
STATE = {"/".join(path): x for path, x in flatten_dict(VARIABLES).items()}
BODY = save(STATE)
DIGEST = hashlib.sha256(BODY).hexdigest()[:8]
ROW = PublishedWeights(
    model="cifar_resnet8",
    tag="a1_in1k",
    source="timm",
    classes=1000,
    parameters=1,
    image_size=32,
    crop_pct=0.8,
    interpolation="bicubic",
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    hub_id="timm/cifar_resnet8.a1_in1k",
    labels="imagenet-1k",
    test_size=40,
    test_crop_pct=1.0,
)


def check(loaded, row=ROW):
    assert loaded.model == MODEL and loaded.name == "cifar_resnet8"
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, VARIABLES)
    if row is not None:
        assert loaded.preprocess == row.preprocess and loaded.preprocess.source == row.name
        assert (loaded.preprocess.image_size, loaded.preprocess.resize) == (40, 40)
        assert loaded.classes == label_set("imagenet-1k").names


@pytest.fixture
def torchvision(site, publish):
    row = replace(
        ROW, source="torchvision", tag="IMAGENET1K_V1", url=f"{site.address}/net-{DIGEST}.pth", checksum=DIGEST
    )
    site.pages[f"/net-{DIGEST}.pth"] = Page(BODY)
    publish(row)
    return row


def test_a_folder_of_the_hub_is_a_source(tmp_path):
    config = {
        "architecture": "cifar_resnet8",
        "pretrained_cfg": {"input_size": [3, 48, 48], "label_names": ["a"] * 1000},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(STATE, tmp_path / "model.safetensors")
    loaded = load_pretrained(tmp_path)
    check(loaded, row=None)
    assert loaded.preprocess.image_size == 48 and loaded.classes == ("a",) * 1000
    (tmp_path / "model.safetensors").unlink()
    halves = list(STATE)[::2], list(STATE)[1::2]
    for number, names in enumerate(halves):
        save_file({name: STATE[name] for name in names}, tmp_path / f"model-{number}.safetensors")
    files = {name: f"model-{number}.safetensors" for number, names in enumerate(halves) for name in names}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    check(load_pretrained(str(tmp_path)), row=None)


def test_weights_of_torchvision_are_downloaded_once(torchvision, site, cache, tmp_path):
    check(load_pretrained("torchvision/cifar_resnet8.IMAGENET1K_V1"), torchvision)
    assert (cache / "torchvision" / f"net-{DIGEST}.pth").read_bytes() == BODY
    check(load_pretrained("torchvision/cifar_resnet8", local_files_only=True), torchvision)
    assert len(site.requests) == 1
    check(load_pretrained("torchvision/cifar_resnet8.DEFAULT", cache_dir=tmp_path / "other"), torchvision)
    assert (tmp_path / "other" / "torchvision" / f"net-{DIGEST}.pth").is_file()


def test_a_wrong_checksum_and_offline_mode_are_one_line(torchvision, site, cache, publish, monkeypatch):
    publish(replace(torchvision, checksum="12345678"))
    with pytest.raises(UnreadableWeights, match=f"is removed: .* begins with 12345678, got {DIGEST}$"):
        load_pretrained("torchvision/cifar_resnet8")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="and nothing is downloaded offline$"):
        load_pretrained("torchvision/cifar_resnet8")


def test_weights_of_timm_come_from_the_hub(hub, publish, cache):
    publish(ROW)
    hub.add_repository("timm/cifar_resnet8.a1_in1k", {"model.safetensors": BODY, "config.json": b"{}"})
    for source in ("timm/cifar_resnet8.a1_in1k", "timm/cifar_resnet8"):
        check(load_pretrained(source))
    check(load_pretrained("timm/cifar_resnet8", local_files_only=True))
    assert (cache / "hub" / "models--timm--cifar_resnet8.a1_in1k").is_dir()


def test_other_repositories_have_their_configuration(hub, publish, cache):
    publish(ROW)
    config = {"architecture": "cifar_resnet8", "pretrained_cfg": {"input_size": [3, 48, 48], "mean": [0.3] * 3}}
    hub.add_repository("me/net", {"model.safetensors": BODY, "config.json": json.dumps(config).encode()}, revision="v1")
    for loaded in (load_pretrained("me/net@v1"), load_pretrained("me/net", revision="v1")):
        check(loaded, row=None)
        assert loaded.preprocess.mean == (0.3, 0.3, 0.3) and loaded.preprocess.image_size == 48
    with pytest.raises(DownloadFailed, match="^the hub's me/net has no revision 'main'$"):
        load_pretrained("me/net")
    hub.add_repository("timm/new.tag", {"model.safetensors": BODY, "config.json": json.dumps(config).encode()})
    check(load_pretrained("timm/new.tag@main"), row=None)  # newer than the table


def test_without_huggingface_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = r"^huggingface_hub is not installed: pip install 'flax-resnets\[hub\]'$"
    for load in (lambda: load_pretrained("timm/resnet50.a1_in1k"), lambda: create_model("resnet50", pretrained=True)):
        with pytest.raises(MissingExtra, match=message):
            load()


def test_an_address_is_a_source(site, cache):
    site.pages["/models/cifar_resnet8-final.safetensors"] = Page(BODY)
    for local_files_only in (False, True):
        address = f"{site.address}/models/cifar_resnet8-final.safetensors?key=1"
        check(load_pretrained(address, local_files_only=local_files_only), row=None)
    assert len(site.requests) == 1
    site.pages["/cifar_resnet8.pth"] = Page(
        b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"}
    )
    with pytest.raises(DownloadFailed, match="expected a file of weights, got an answer of type text/html$"):
        load_pretrained(f"{site.address}/cifar_resnet8.pth")
    with pytest.raises(ValueError, match="^expected an address as https://HOST/FILE, got 'file:///etc/passwd'$"):
        load_pretrained("file:///etc/passwd")


def test_what_is_on_this_machine_comes_first(publish, tmp_path, monkeypatch):
    publish(ROW)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "timm" / "cifar_resnet8.a1_in1k"
    folder.mkdir(parents=True)
    save_file(STATE, folder / "model.safetensors")
    message = "timm/cifar_resnet8.a1_in1k is in the current folder and is read instead of the published weights"
    with pytest.warns(UserWarning, match=f"^{message}$") as warnings:
        assert resolve("timm/cifar_resnet8.a1_in1k").published is None
    assert warnings[0].filename == __file__


def test_what_is_nowhere_is_one_line_without_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for source, message in {
        "resnet50": r"no file 'resnet50'; did you mean timm/resnet50.a1_in1k\?",
        "tim/resnet50.a1_in1k": r"no file .*; did you mean timm/resnet50.a1_in1k\?",
        "runs/digits": "no file 'runs/digits'; expected a file of weights",
        "org/net.safetensors": "no file 'org/net.safetensors'; expected a file of weights",
        "./org/net": "no file './org/net'; expected a file of weights",
        "a/b/c": "no file 'a/b/c'; expected a file of weights",
        "hf-hub:timm/resnet50": r"no file .*; did you mean timm/resnet50\?",
        Path("https://a.org/b.pth"): "no file 'https:/a.org/b.pth'; pass an address as a string: https://HOST/FILE",
        "timm/resnet50.a1": "no file 'timm/resnet50.a1', and timm publishes no weights 'a1' of resnet50; did you mean ",
    }.items():
        with pytest.raises(FileNotFoundError, match=f"^{message}"):
            resolve(source)
    with pytest.raises(ValueError, match="^only repositories of the hub have revisions; got revision='v1' of 'runs'$"):
        resolve("runs", revision="v1")


def test_links_out_of_a_folder_of_the_hub_are_refused(tmp_path):
    folder, other = tmp_path / "models--org--net" / "snapshots" / "abc", tmp_path / "other.json"
    (tmp_path / "models--org--net" / "blobs").mkdir(parents=True)
    folder.mkdir(parents=True)
    save_file(STATE, tmp_path / "models--org--net" / "blobs" / "1")
    (folder / "model.safetensors").symlink_to("../../blobs/1")
    assert resolve(folder).path == folder / "model.safetensors"  # as the hub's cache has it
    plain = tmp_path / "plain"
    plain.mkdir()
    save_file(STATE, plain / "model.safetensors")
    other.write_text("{}")
    (plain / "config.json").symlink_to(other)
    with pytest.raises(ValueError, match="^config.json leads out of "):
        resolve(plain)


def test_the_address_of_published_weights_has_their_checksum(site, cache, torchvision):
    check(load_pretrained(torchvision.url, model="cifar_resnet8"), torchvision)
    file = next(cache.glob("addresses/*/*.pth"))
    file.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(UnreadableWeights, match="is removed: expected a SHA-256 that begins with"):
        load_pretrained(torchvision.url)
    assert not file.exists()


def test_a_wrong_answer_in_the_cache_can_be_removed(site, cache):
    address = f"{site.address}/cifar_resnet8.safetensors"
    site.pages["/cifar_resnet8.safetensors"] = Page(b'{"error": "busy"}')
    with pytest.raises(UnreadableWeights, match="; removing '.*/addresses/.*' downloads it again$") as failure:
        load_pretrained(address)
    site.pages["/cifar_resnet8.safetensors"] = Page(BODY)
    Path(str(failure.value).split("'")[-2]).unlink()
    check(load_pretrained(address), row=None)
