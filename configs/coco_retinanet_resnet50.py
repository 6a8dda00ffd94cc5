"""RetinaNet with a ResNet-50 and a feature pyramid on COCO 2017: torchvision's published recipe.

    python train.py --config configs/coco_retinanet_resnet50.py --data.path COCO

COCO has the folders train2017 and val2017, and annotations/instances_train2017.json and instances_val2017.json.

As references/detection of torchvision: 26 epochs of 16 images a step (eight devices of two), SGD with momentum 0.9,
weight decay 1e-4 on all parameters, learning rate 0.01 with 1,000 steps of warmup from a thousandth, a tenth of it
after epochs 16 and 22, flips. The rate is that of 16 images; --data.batch-size scales it in proportion (Goyal et al.
2017). The backbone has torchvision's ImageNet weights: frozen norms, and frozen parameters below stage 2. The shorter
side has 800 pixels and the longer one at most 1,344 (torchvision: 1,333). torchvision pads a batch to its largest
image, and this canvas is always a square of 1,344. torchvision does not train on images without objects; here they
are background. COCO has boxes without area: invalid="skip" drops them, and the run says how many.

Device: eight accelerators. Published for this recipe (torchvision, retinanet_resnet50_fpn.COCO_V1): 36.4 AP on
val2017. Not run: neither accelerators nor the data were available.
"""

from resnet_jax.config import Config, DataConfig, InitConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/coco_retinanet_resnet50",
    task="detection",
    model=ModelConfig(name="retinanet_resnet50_fpn", frozen_norms=("all",), options=("trainable_layers=3",)),
    init=InitConfig(from_="torchvision/resnet50.IMAGENET1K_V1"),
    data=DataConfig(
        path="coco",
        annotations=("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
        test_split="val",
        channels=3,
        batch_size=16,
        image_size=1344,
        resize=800,
        max_boxes=100,
        invalid="skip",
        horizontal_flip=True,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    optim=OptimConfig(
        peak_lr=0.01,
        lr_reference_batch=16,
        schedule="step",
        decay_epochs=(16.0, 22.0),
        warmup_epochs=0.135,
        warmup_from=0.001,
        weight_decay=1e-4,
        decay_all=True,
    ),
    train=TrainConfig(epochs=26.0, eval_every_epochs=1.0),
)
