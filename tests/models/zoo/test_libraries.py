"""Tables of other libraries, and the nets that they have."""

from resnet_jax.models import MODELS, get_spec
from resnet_jax.models.zoo.libraries import TORCHVISION_NETS, in_torchvision


def test_these_nets_and_no_others_have_torchvisions_names():
    dense = {"segmentation", "detection"}
    classifiers = {name for name, spec in MODELS.items() if spec.family not in dense}
    assert {name for name in classifiers if "torchvision" in get_spec(name).name_tables} == TORCHVISION_NETS


def test_a_row_keeps_its_other_tables():
    timm = get_spec("resnet50").name_tables["timm"]
    (row,) = in_torchvision({"resnet50": get_spec("resnet50_v1")}, timm).values()
    spec = get_spec("resnet50_v1")
    assert row.name_tables == {**spec.name_tables, "torchvision": timm} and row.build == spec.build
    assert in_torchvision({"resnet50_v1": row}, timm)["resnet50_v1"] is row
