"""Writes the numbers of a small CLIP of open_clip 3.3.0, in float64, on weights by the recipe: python make.py

Both activations; gradients of the symmetric cross-entropy of the pairs, running statistics throughout.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "helpers"))
from recipe import array  # noqa: E402

TEXT = {"context_length": 10, "vocab_size": 60, "width": 32, "heads": 2, "layers": 2}
VISION = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 64}
TOKENS = [[58, 5, 9, 59, 0, 0, 0, 0, 0, 0], [58, 59, 0, 0, 0, 0, 0, 0, 0, 0], [58, *range(1, 9), 59]]


def main() -> None:
    numbers = {}
    tokens = torch.tensor(TOKENS)
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, 64, 64)))
    for act, quick in {"gelu": False, "quick_gelu": True}.items():
        vision = open_clip.CLIPVisionCfg(**{**VISION, "layers": tuple(VISION["layers"]), "head_width": 64})
        net = open_clip.CLIP(16, vision, open_clip.CLIPTextCfg(**TEXT), quick_gelu=quick).double().eval()
        state = net.state_dict()
        for name, value in state.items():
            if name == "logit_scale":
                state[name] = torch.tensor(math.log(1 / 0.07), dtype=torch.float64)
            elif value.dtype.is_floating_point:
                state[name] = torch.from_numpy(np.asarray(array(name, tuple(value.shape))))
        net.load_state_dict(state)
        image, text, scale = net(images, tokens)[:3]
        logits = scale * image @ text.T
        pairs = torch.arange(len(tokens))
        loss = (
            torch.nn.functional.cross_entropy(logits, pairs) + torch.nn.functional.cross_entropy(logits.T, pairs)
        ) / 2
        loss.backward()
        with torch.no_grad():
            numbers[f"{act}/image_features"] = net.encode_image(images).numpy()
            numbers[f"{act}/text_features"] = net.encode_text(tokens).numpy()
        numbers[f"{act}/logits"], numbers[f"{act}/loss"] = logits.detach().numpy(), np.asarray(loss.item())
        norms = {name: parameter.grad.norm().item() for name, parameter in net.named_parameters()}
        numbers[f"{act}/grad_norms"] = np.array(list(norms.values()))
    np.savez_compressed(HERE / "small.npz", tokens=np.array(TOKENS, np.int32), **numbers)
    arrays = [[name, list(value.shape)] for name, value in state.items()]
    (HERE / "small.json").write_text(json.dumps({"arrays": arrays, "grad_norms": list(norms)}) + "\n")


main()
