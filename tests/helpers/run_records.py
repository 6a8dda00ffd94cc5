"""Run directories with records of training and tests, and the text of drawn curves."""

import json
import xml.etree.ElementTree as ET


def record(step, split, loss=1.0, top1=0.5):
    return json.dumps({"step": step, "split": split, "epoch": step / 100, "loss": loss, "top1": top1}) + "\n"


def make_run(folder, text=None):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(record(10, "train", 2.0) + record(20, "test") if text is None else text)
    return folder


def task_run(folder, task, test, train=None):
    """A run with one record of training and one of a test."""
    records = [
        {"step": 1, "split": "train", "epoch": 0.5, "loss": 0.9, "grad_norm": 2.0, "param_norm": 3.0, **(train or {})}
    ]
    records.append({"step": 2, "split": "test", "epoch": 1.0, "loss": 0.5, **test, "images": 9, "ema_loss": 0.6})
    run = make_run(folder, "".join(json.dumps(record) + "\n" for record in records))
    config = {"task": task, "model": {"name": "cifar_resnet8"}, "data": {"name": "digits"}}
    (run / "config.json").write_text(json.dumps({"config": config}))
    return run


def svg_text(svg):
    return [element.text for element in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]
