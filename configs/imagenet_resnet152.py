"""ResNet-152 (v1.5) on ImageNet, 90 epochs.

    tfds build imagenet2012 --file_format=array_record         (once; needs TensorFlow)
    python train.py --config configs/imagenet_resnet152.py

Random resized crops and flips; SGD with momentum 0.9, batch 1024, learning rate 0.1 per 256 images with five epochs of
warmup and a cosine to 0 (Goyal et al. 2017; He et al. 2019), label smoothing 0.1, weight decay 1e-4 on kernels,
bfloat16 arithmetic. Evaluation: shorter side 256, centre crop 224. A folder with train/ and val/ works as well as TFDS:
--data.path FOLDER --data.test-split val.

Device: eight accelerators; 115 million images, two hours at 16,000 images/s. Published for the same net with a similar
recipe (torchvision, 90 epochs, step schedule, no smoothing): 78.31 % top-1. Not run: neither accelerators nor
the data were available.
"""

from dataclasses import replace
from pathlib import Path

from resnet_jax.config import ModelConfig, load_config

base = load_config(Path(__file__).with_name("imagenet_resnet50.py"))

config = replace(
    base,
    workdir="runs/imagenet_resnet152",
    model=ModelConfig(name="resnet152", dtype="bfloat16"),
)
