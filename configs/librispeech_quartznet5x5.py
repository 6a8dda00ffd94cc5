"""QuartzNet-5x5 on LibriSpeech's 960 hours (Kriman et al. 2019).

    python train.py --config configs/librispeech_quartznet5x5.py --data.path LibriSpeech

LibriSpeech has the unpacked folders: train-clean-100 and other training sets are trained on together, dev-clean is
tested; --data.test-split test-clean of resnet-jax eval has the other one. A part of it works too: with dev-clean alone
beside the training sets its split is called "validation": --data.test-split validation.

64 log-mel bands of 20 ms every 10 ms, each band of an utterance normalised; SpecAugment with two masks of bands and of
frames (Park et al. 2019). The paper trains with NovoGrad for 300 epochs; here AdamW takes its place, so the result may
differ.

Device: eight accelerators. Published: 5.39 % WER on dev-clean with greedy decoding. Not run: neither accelerators nor
the data were available.
"""

from resnet_jax.config import AudioConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

config = Config(
    workdir="runs/librispeech_quartznet5x5",
    task="transcription",
    model=ModelConfig(name="quartznet5x5", dtype="bfloat16"),
    data=DataConfig(
        path="LibriSpeech",
        test_split="dev-clean",
        batch_size=256,
        buckets=8,
        audio=AudioConfig(
            sample_rate=16000,
            window=0.02,
            hop=0.01,
            bands=64,
            normalise="each",
            mask_bands=(2, 27),
            mask_frames=(2, 70),
            mask_share=0.2,
        ),
    ),
    optim=OptimConfig(optimizer="adamw", peak_lr=1e-3, weight_decay=1e-3, warmup_epochs=2.0),
    train=TrainConfig(epochs=300.0, eval_every_epochs=5.0),
)
