"""ResNet-50 (v1.5) on ImageNet, 90 epochs.

    tfds build imagenet2012 --file_format=array_record         (once; needs TensorFlow)
    python train.py --config configs/imagenet_resnet50.py

Random resized crops and flips; SGD with momentum 0.9, batch 1024, learning rate 0.1 per 256 images with five epochs of
warmup and a cosine to 0 (Goyal et al. 2017; He et al. 2019), label smoothing 0.1, weight decay 1e-4 on kernels,
bfloat16 arithmetic. Evaluation: shorter side 256, centre crop 224. A folder with train/ and val/ works as well as TFDS:
--data.path FOLDER --data.test-split val.

Device: eight accelerators; 115 million images, two hours at 16,000 images/s. Published for the same net with a similar
recipe (torchvision, 90 epochs, step schedule, no smoothing): 76.13 % top-1. Not run: neither accelerators nor
the data were available.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/imagenet_resnet50",
    model=ModelConfig(name="resnet50", dtype="bfloat16"),
    data=DataConfig(
        name="imagenet2012",
        test_split="validation",
        channels=3,
        batch_size=1024,
        image_size=224,
        resize=256,
        padding=0,
        horizontal_flip=True,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    optim=OptimConfig(lr_reference_batch=256, weight_decay=1e-4, label_smoothing=0.1),
    train=TrainConfig(epochs=90.0, log_every_steps=100, eval_every_epochs=1.0),
)
