"""DeepLabV3 with a ResNet-50 on Pascal VOC 2012: torchvision's published recipe.

    python train.py --config configs/voc_deeplabv3_resnet50.py --data.path VOCdevkit/VOC2012

As references/segmentation of torchvision: 30 epochs of 32 images a step (eight devices of four, which share batch
statistics), SGD with momentum 0.9, weight decay 1e-4 on all parameters, learning rate 0.02 times (1 - s)^0.9, s from
0 to 1; ten times the rate in the auxiliary head, whose loss counts half. The rate is that of 32 images;
--data.batch-size scales it in proportion. The backbone has torchvision's ImageNet weights. Windows of 480 pixels of
images of half to twice the size, flips. torchvision's size is that of the shorter side (520 pixels), and here that of
the longer one (480).

Device: eight accelerators. torchvision publishes 66.4 mIoU for this recipe on the images of COCO with VOC's classes
(deeplabv3_resnet50.COCO_WITH_VOC_LABELS_V1), not for VOC. Not run: neither accelerators nor the data were available.
"""

from resnet_jax.config import Config, DataConfig, InitConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/voc_deeplabv3_resnet50",
    task="segmentation",
    model=ModelConfig(name="deeplabv3_resnet50", bn_axis="data"),
    init=InitConfig(from_="torchvision/resnet50.IMAGENET1K_V1"),
    data=DataConfig(
        path="VOCdevkit/VOC2012",
        channels=3,
        batch_size=32,
        image_size=480,
        scale_jitter=(0.5, 2.0),
        horizontal_flip=True,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    optim=OptimConfig(
        peak_lr=0.02,
        lr_reference_batch=32,
        schedule="poly",
        warmup_epochs=0.0,
        weight_decay=1e-4,
        decay_all=True,
        lr_multiplier=("^auxiliary/=10",),
    ),
    train=TrainConfig(epochs=30.0, eval_every_epochs=2.0),
)
