"""images.npz: the record of the images of a run."""

import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from image_folders import config, write_images

from resnet_jax.runs.files import image_record as data_record
from resnet_jax.runs.files.image_record import has_trained_images, make_record, read_record, trained_on, write_record
from resnet_jax.runs.planning.metadata import data_metadata
from resnet_jax.runs.planning.plan import make_plan


def test_an_incomplete_record_is_reported(images, tmp_path):
    plan = make_plan(config(images))
    train, test = plan.identities
    for record, known in (
        (make_record(train, test), True),
        (make_record(train, test, complete=False), False),
        (make_record(train, test, make_record(dataclasses.replace(train, kind="names"), test)), False),
        (None, False),
    ):
        if record is not None:
            write_record(tmp_path, record)
            record = read_record(tmp_path)
        assert trained_on(plan.test.examples, [(record, True)])[1] == known
    assert not make_record(train, test, read_record(tmp_path)).complete
    assert train.digests is train.digests  # asked for at every save


def test_images_are_identified_once_for_several_runs(images, monkeypatch):
    plan, calls = make_plan(config(images)), []
    record = make_record(*plan.identities)
    monkeypatch.setattr(data_record, "identify", lambda *a: calls.append(a) or plan.identities[1])
    trained_on(plan.test.examples, [(record, True)] * 3)
    assert len(calls) == 1


def test_the_record_of_a_run(images, tmp_path):
    plan = make_plan(config(images))
    assert read_record(tmp_path) is None
    write_record(tmp_path, make_record(*plan.identities))
    record = read_record(tmp_path)
    assert record.train.digests == plan.identities[0].digests and len(record.earlier) == 0
    for source, expected in ((plan.train, True), (plan.test, False)):
        mask, known = trained_on(source.examples, [(record, True)])
        assert known and (mask == expected).all()
    assert has_trained_images(plan.train.examples, record) and not has_trained_images(plan.test.examples, record)
    shutil.rmtree(images)
    write_images(images, first=6, last=18)  # half of the images are others
    changed = make_plan(config(images))
    both = make_record(*changed.identities, record)
    assert len(both.trained) == len(set(record.trained) | set(changed.identities[0].fingerprints))
    forgotten = dataclasses.replace(both, earlier=both.earlier[:0])
    assert trained_on(plan.train.examples, [(forgotten, True)])[0].sum() < len(both.trained)
    written = (tmp_path / "images.npz").read_bytes()
    with np.load(tmp_path / "images.npz") as stored:
        arrays = dict(stored)
    file, one_array, other = tmp_path / "images.npz", io.BytesIO(), io.BytesIO()
    np.save(one_array, arrays["earlier"])
    np.savez(other, **arrays | {"train_labels": arrays["train_labels"][1:]})
    zipped = bytearray(written)
    zipped[8] = 99  # an unknown compression method, for the first array
    zipped[written.index(b"PK\x01\x02") + 10] = 99
    for corrupted in (written[:200], bytes(zipped), one_array.getvalue(), other.getvalue(), None):
        file.unlink()
        if corrupted is None:
            os.mkfifo(file)
        else:
            file.write_bytes(corrupted)
        with pytest.raises(ValueError, match="images.npz is corrupted .*; move it away to continue without it"):
            read_record(tmp_path)


def test_another_runs_record_is_refused(images, tmp_path):
    """The splits and training images of another run must not be used for this one."""
    write_images(tmp_path / "others", first=20, last=32)
    plans = [make_plan(config(folder)) for folder in (images, tmp_path / "others")]

    def save(step, plan):
        meta = {"format": 2, "model": {}, "classes": [], "preprocess": {}, "data": data_metadata(plan)}
        file = tmp_path / "run" / "checkpoints" / str(step) / "meta" / "metadata"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(meta))
        return meta

    meta, run = save(3, plans[0]), tmp_path / "run"
    record, other = (make_record(*plan.identities) for plan in plans)
    write_record(run, record)
    assert read_record(run).digest == record.digest
    write_record(run, other)
    with pytest.raises(ValueError, match="images.npz belongs to another run: the newest checkpoint was trained"):
        read_record(run)
    # The data was changed on purpose, and no checkpoint has been saved since.
    write_record(run, make_record(*plans[1].identities, record))
    assert read_record(run).history == (record.digest,)
    write_record(
        run, make_record(*plans[1].identities, complete=False, metadata=meta)
    )  # as if the record had been moved away
    changed = read_record(run)
    save(4, plans[1])
    assert read_record(run).history == changed.history == (record.digest,)
