import pytest

from resnet_jax.models.published import published
from resnet_jax.weights.sources.tags import default_weights, find_published, is_published_name, suggestion


def test_names_of_published_weights_lead_to_their_rows():
    for name, expected in {
        "timm/resnet50.a1_in1k": "timm/resnet50.a1_in1k",
        "timm/resnet50": "timm/resnet50.a1_in1k",
        "torchvision/resnet50.IMAGENET1K_V1": "torchvision/resnet50.IMAGENET1K_V1",
        "torchvision/resnet50.DEFAULT": "torchvision/resnet50.IMAGENET1K_V2",
        "torchvision/resnet50": "torchvision/resnet50.IMAGENET1K_V2",
        "torchvision/resnet18.DEFAULT": "torchvision/resnet18.IMAGENET1K_V1",
        "open_clip/clip_resnet50": "open_clip/clip_resnet50.openai",
        "open_clip/clip_resnet101.yfcc15m": "open_clip/clip_resnet101.yfcc15m",
    }.items():
        assert find_published(name).name == expected


def test_the_default_is_timms_then_torchvisions():
    assert default_weights("resnet50") == published("resnet50")[0] and default_weights("resnet50").source == "timm"
    assert default_weights("efficientnet_b7").name == "torchvision/efficientnet_b7.IMAGENET1K_V1"
    assert default_weights("resnet50d", "torchvision") is default_weights("efficientnet_b7", "timm") is None
    assert default_weights("cifar_resnet20") is None
    assert default_weights("clip_resnet50x4").name == "open_clip/clip_resnet50x4.openai"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet50.a1", "timm publishes no weights 'a1' of resnet50; did you mean a1_in1k or a1h_in1k"),
        ("timm/resnet50.xyz", r"'xyz' of resnet50; expected a1_in1k, (\w+, ){8}\w+ and \d+ more"),
        ("torchvision/resnet50.IMAGENET1K_V3", "did you mean IMAGENET1K_V[12] or IMAGENET1K_V[12]"),
        ("timm/resnet5.a1_in1k", "no weights of this name are published; did you mean resnet"),
        ("torchvision/resnet50d.DEFAULT", "did you mean timm/resnet50d.ra2_in1k"),
        ("timm/efficientnet_b7", "did you mean torchvision/efficientnet_b7.IMAGENET1K_V1"),
        ("timm/vit_base_patch16_224", "no weights of this name are published; see: resnet-jax weights"),
    ],
)
def test_mistyped_names_get_the_nearest_choice_in_one_line(name, message):
    with pytest.raises(FileNotFoundError, match=f"^no file '{name}'.*{message}[^\n]*$"):
        find_published(name)


def test_names_of_nets_are_suggestions():
    for source, expected in {
        "resnet50": "did you mean timm/resnet50.a1_in1k?",
        "resnet50.a1_in1k": "did you mean timm/resnet50.a1_in1k?",
        "resnet50.imagenet1k_v2": "did you mean torchvision/resnet50.IMAGENET1K_V2?",
        "ResNet50": "did you mean timm/resnet50.a1_in1k?",
        "tim/resnet50.a1_in1k": "did you mean timm/resnet50.a1_in1k?",
        "torchvison/resnet50": "did you mean torchvision/resnet50.IMAGENET1K_V2?",
        "hf-hub:org/net": "did you mean org/net?",
        "microsoft/resnet-50": "",
        "microsoft/resnet50": "",
        "runs/digits": "",
    }.items():
        assert suggestion(source) == expected
    names = ("timm/resnet50", "torchvision/x.y", "org/net", "timm", "timm/a/b")
    assert [is_published_name(name) for name in names] == [True, True, False, False, False]
