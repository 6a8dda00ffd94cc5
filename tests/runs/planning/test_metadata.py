"""Metadata of a checkpoint: all that a run needs to resume, as JSON holds it."""

import json

from image_folders import config

from resnet_jax.runs.planning.metadata import checkpoint_metadata, data_metadata
from resnet_jax.runs.planning.numerics import NUMERICS
from resnet_jax.runs.planning.plan import make_plan


def test_metadata_of_a_checkpoint_are_json(images):
    plan = make_plan(config(images))
    metadata = checkpoint_metadata(plan, 7)
    assert json.loads(json.dumps(metadata)).keys() == metadata.keys() and metadata["data"]["next_step"] == 7
    assert (metadata["task"], metadata["task_record"], metadata["numerics"]) == ("classification", {}, NUMERICS)
    assert metadata["model"]["name"] == "cifar_resnet8" and metadata["model"]["overrides"]["num_classes"] == 2


def test_the_names_of_the_data_are_recorded_if_the_config_renames_them(images):
    renamed = data_metadata(make_plan(config(images, class_names=("kitten", "puppy"))))
    assert renamed["classes"] == ["kitten", "puppy"] and renamed["own_classes"] == ["cat", "dog"]
    assert "own_classes" not in data_metadata(make_plan(config(images)))
