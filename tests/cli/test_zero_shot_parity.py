"""resnet-jax zero-shot against open_clip, on the same weights and pictures."""

import json
import math

import numpy as np
import pytest
import recipe
from command_line import output
from PIL import Image

from resnet_jax.weights.safetensors_file import write_safetensors

pytestmark = pytest.mark.parity
LABELS = ("temple", "flower", "a cat", "dog")


def test_probabilities_are_open_clips(tmp_path, capsys):
    """RN50 with quick GELU, in float32. The factor is that of untrained nets: 100 would multiply rounding, too."""
    torch, open_clip = pytest.importorskip("torch"), pytest.importorskip("open_clip")
    pictures = pytest.importorskip("sklearn.datasets").load_sample_images().images
    arrays = json.loads((recipe.GOLDEN / "clip" / "RN50.keys.json").read_text())
    state = {name: recipe.array(name, shape).astype(np.float32) for name, shape in arrays if "num_batches" not in name}
    state["logit_scale"] = np.asarray(math.log(1 / 0.07), np.float32)
    write_safetensors(state, tmp_path / "clip.safetensors")
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")

    def ours(*options):
        shared = ("zero-shot", tmp_path / "clip.safetensors", tmp_path, "--labels", ",".join(LABELS), "--json")
        lines = map(json.loads, output(capsys, *shared, *options).splitlines())
        rows = [{one["class"]: one["probability"] for one in line["predictions"]} for line in lines]
        return [[row[label] for label in LABELS] for row in rows]

    net, _, transform = open_clip.create_model_and_transforms("RN50-quickgelu", pretrained=None)
    missing, unexpected = net.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()}, strict=False)
    assert not unexpected and all("num_batches" in name or name == "attn_mask" for name in missing)
    net.eval()
    tokenize = open_clip.get_tokenizer("RN50-quickgelu")
    with torch.no_grad():
        texts = torch.nn.functional.normalize(net.encode_text(tokenize([f"a photo of a {label}." for label in LABELS])))
        images = torch.stack([transform(Image.fromarray(pixels)) for pixels in pictures])
        features = torch.nn.functional.normalize(net.encode_image(images))
        theirs = (net.logit_scale.exp() * features @ texts.T).softmax(-1).numpy()
        classes = open_clip.build_zero_shot_classifier(net, tokenize, LABELS, open_clip.OPENAI_IMAGENET_TEMPLATES)
        of_ensemble = (net.logit_scale.exp() * features @ classes).softmax(-1).numpy()
    np.testing.assert_allclose(ours(), theirs, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours("--templates", "imagenet"), of_ensemble, rtol=0, atol=1e-6)
    assert np.abs(theirs - of_ensemble).max() > 1e-5
