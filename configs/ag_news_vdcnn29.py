"""AG News with VDCNN-29: the recipe of Conneau et al. 2017.

    python train.py --config configs/ag_news_vdcnn29.py --data.path ag_news_csv

ag_news_csv is the folder of train.csv and test.csv of Zhang et al. 2015, whose columns have no names: the class, the
title, the description. SGD with momentum 0.9, batches of 128 texts of 1,024 characters, learning rate 0.01 halved every
3 epochs, 15 epochs (section 4.3). The paper initialises as He et al. 2015, does not decay the weights, and pools by
the k largest values of each channel.

Device: one accelerator. The paper reports 91.27 % at this depth with max pooling between the levels (table 5). Not run:
neither an accelerator nor the data was available.
"""

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TextConfig, TrainConfig

config = Config(
    workdir="runs/ag_news_vdcnn29",
    model=ModelConfig(name="vdcnn29"),
    data=DataConfig(
        path="ag_news_csv",
        label_column="1",
        image_column="2,3",
        class_names=("World", "Sports", "Business", "Sci/Tech"),
        batch_size=128,
        text=TextConfig(length=1024),
    ),
    optim=OptimConfig(
        peak_lr=0.01,
        schedule="step",
        warmup_epochs=0.0,
        decay_epochs=(3.0, 6.0, 9.0, 12.0),
        decay_factor=0.5,
        weight_decay=0.0,
    ),
    train=TrainConfig(epochs=15.0, eval_every_epochs=1.0),
)
