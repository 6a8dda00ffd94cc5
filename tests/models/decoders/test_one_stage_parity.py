"""Version 2 of RetinaNet on a ResNet-50 against torchvision itself, in float64."""

import jax.numpy as jnp
import pytest
import rcnn_reference
import small_rcnn
from one_stage_reference import OPTIONS, THRESHOLDS

from resnet_jax.models import create_model, get_spec
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.names import Names


@pytest.mark.parity
@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn_v2"])
def test_version_2_equals_torchvisions(x64, name):
    detection = pytest.importorskip("torchvision").models.detection
    classes = {"num_classes": rcnn_reference.CLASSES}
    theirs = getattr(detection, name)(weights=None, weights_backbone=None, **OPTIONS, **classes)
    theirs, keys = rcnn_reference.prepared(theirs)
    numbers = rcnn_reference.numbers(theirs)
    ours = create_model(name, dtype=jnp.float64, param_dtype=jnp.float64, **THRESHOLDS, **classes)
    names = Names("torchvision", get_spec(name).name_tables["torchvision"])
    variables = to_variables(rcnn_reference.state(keys), ours, names)
    assert to_state(variables, names).keys() == {key for key, _ in keys}
    small_rcnn.check_detections(ours, variables, numbers)
    small_rcnn.check_losses(ours, variables, numbers, names, small_rcnn.scene(5))
