"""Rows of the registry."""

from resnet_jax.models import create_model, get_spec, list_models

LIBRARIES = {"timm", "torchvision", "openai", "transformers", "keras", "detectron2", "caffe2", "bit", "lukemelas"}
LIBRARIES |= {"akamaster", "chenyaofo", "kuangliu", "smp"}


def test_published_weights_have_names_and_preprocessing():
    for name in list_models():
        spec = get_spec(name)
        assert set(spec.name_tables) <= LIBRARIES
        is_known = spec.preprocess is not None or all(table.preprocess for table in spec.name_tables.values())
        assert is_known or not spec.name_tables
        sources = {weights.source for weights in spec.pretrained}
        assert spec.is_dense or ("torchvision" in sources) == ("torchvision" in spec.name_tables)
        assert sources <= set(spec.name_tables)
        assert spec.name == name and all(weights.model == name for weights in spec.pretrained)
        assert create_model(name).image_size == spec.image_size
