"""The message for an unknown option: ours of the same meaning or name, or a similar one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from resnet_jax.errors import did_you_mean, one_of

RUN = "the run is an argument without a flag"
DEVICES = "JAX takes the devices it finds; the environment's"
# Options of other trainers (timm, torchvision, Keras, Ultralytics, fastai) and what to use instead, with "|" between
# alternatives. The message names the first one that fits the command: one of its flags; "COMMAND COMMAND: a sentence"
# for these commands; a sentence for every command. The last component of a flag (--epochs) needs no row.
OTHERS = {
    "lr lr0 learning-rate base-lr": "--optim.peak-lr",
    "min-lr lrf": "--optim.final-lr",
    "sched scheduler lr-scheduler": "--optim.schedule",
    "cos-lr": "--optim.schedule cosine",
    "decay-milestones milestones": "--optim.decay-epochs",
    "decay-rate": "--optim.decay-factor",
    "patience-epochs lr-patience": "--optim.plateau-epochs",
    "opt optim": "--optim.optimizer",
    "wd": "--optim.weight-decay",
    "smoothing": "--optim.label-smoothing",
    "clip-grad clipnorm": "--optim.clip-norm",
    "grad-accum grad-accum-steps accumulation-steps": "--optim.accumulate",
    "warmup": "--optim.warmup-epochs",
    "ema model-ema model-ema-decay": "--optim.ema-decay",
    "loss criterion": "--task|the loss belongs to the run's task",
    "jsd jsd-loss": "there is no Jensen-Shannon loss; see --optim.label-smoothing",
    "b bs batch batch-size": "--data.batch-size|--data.eval-batch-size|--batch-size",
    "val-batch-size validation-batch-size": "--data.eval-batch-size",
    "e n-epochs max-epochs num-epochs": "--train.epochs",
    "max-steps": "--train.steps|--train.epochs",
    "early-stopping": "--train.patience",
    "j workers num-workers nproc": "--data.threads",
    "data data-path data-dir train-dir root": "--data.path|data: the data is an argument without a flag",
    "val-dir valid-dir test-dir": "train eval experiment: --data.path names the folder that holds train and val"
    "|data: the data is an argument without a flag",
    "dataset": "--data.name|--data.path|data: the data is an argument without a flag",
    "csv": "--out FILE.csv|--json|--data.labels",
    "imgsz img-size input-size size": "--data.image-size|--image-size",
    "crop-pct": "--data.resize",
    "in-chans": "--data.channels",
    "val-split validation-split": "--data.train-split 'train[:80%]' --data.test-split 'train[80%:]'|--split",
    "class-map": "--data.class-names",
    "hflip fliplr": "--data.horizontal-flip",
    "scale": "--data.crop-area",
    "aa auto-augment": "there is no automatic augmentation; see --data.color-jitter, --data.mixup and --data.cutmix",
    "no-aug": "--data.padding 0",
    "train-interpolation": "--data.interpolation",
    "reprob": "--data.cutout",
    "m model arch net": "--model.name|summary models: the net is an argument without a flag"
    f"|data: data is surveyed without a net; see --data.kind|--model|{RUN}",
    "drop dropout": "--model.drop-rate",
    "sync-bn": "--model.bn-axis data",
    "grad-checkpointing": "--model.remat block",
    "amp amp-dtype fp16 bf16 half": "--model.dtype bfloat16",
    "precision": "--model.dtype",
    "pretrained weights finetune initial-checkpoint checkpoint": "--init.from|--step",
    "checkpoint-dir ckpt-dir": f"--workdir|{RUN}",
    "o out output output-dir out-dir logdir log-dir save-dir project name": "--workdir|--out|--json",
    "c cfg": "--config",
    "resume resume-from exist-ok": "the same command on the same --workdir resumes: omit it",
    "evaluate eval eval-only test-only validate": "train: resnet-jax eval RUN evaluates a run",
    "save-period": "--train.eval-every-epochs",
    "checkpoint-hist": "--checkpoint.keep-latest",
    "log-interval print-freq": "--train.log-every-steps",
    "q quiet silent v verbose": "--train.log-every-steps|its output can go into a file: > FILE",
    "log-wandb use-wandb": "--log.wandb online",
    "topk": "--top",
    "tta augment": "--protocol",
    "num-classes nc": "the classes are the data's: omit it",
    "world-size num-processes": "--distributed.processes",
    "rank local-rank node-rank": "--distributed.process-id",
    "dist-url master-addr": "--distributed.coordinator",
    "device": f"{DEVICES} JAX_PLATFORMS=cpu or cuda chooses",
    "cpu no-cuda": f"{DEVICES} JAX_PLATFORMS=cpu chooses",
    "gpu gpus devices": f"{DEVICES} CUDA_VISIBLE_DEVICES=0,1 chooses",
}


def unknown_option(flag: str, name: str, options: Sequence[str], prog: str) -> str:
    """The error for an option that does not exist.

    Args:
      flag: as typed; `name`: with hyphens for underscores.
      options: the flags of the command that its help shows.
      prog: "resnet-jax COMMAND".
    """
    if same := [known for known in options if known.casefold() == name.casefold()]:
        return f"no option {flag}; did you mean {same[0]}?"
    group, dot, last = name.removeprefix("--no-").rpartition(".")
    if name.startswith("--no-") and dot and (off := f"--{group}.no-{last}") in options:
        return f"no option {flag}; did you mean {off}?"
    last = "model" if name == "--model.name" else name.lstrip("-").rpartition(".")[2].casefold()
    typo = difflib.get_close_matches(name, options, n=1, cutoff=0.85) if "." in name else []
    if typo and typo[0].rpartition(".")[2] == last:
        return f"no option {flag}; did you mean {typo[0]}?"
    ours = _of_other_trainers(last, options, prog.rpartition(" ")[2])
    if ours.startswith("--"):
        return f"no option {flag}; did you mean {ours}?"
    if same := [known for known in options if known.lstrip("-").rpartition(".")[2] == last]:
        return f"no option {flag}; did you mean {one_of(same)}?"
    if ours:
        return f"no option {flag}; {ours}"
    by_last = {known.lstrip("-").rpartition(".")[2]: known for known in options}
    if "." not in name and (similar := difflib.get_close_matches(last, by_last, n=3, cutoff=0.7)):
        return f"no option {flag}; did you mean {one_of(by_last[word] for word in similar)}?"
    return f"no option {flag}; {did_you_mean(name, options, f'see {prog} --help')}"


def _of_other_trainers(last: str, options: Sequence[str], command: str) -> str:
    """Our flag, or a sentence, for an option of another trainer; "" for others."""
    row = next((ours for words, ours in OTHERS.items() if last in words.split()), "")
    for alternative in row.split("|"):
        commands, colon, sentence = alternative.partition(": ")
        if alternative.startswith("--"):
            if alternative.partition(" ")[0] in options:
                return alternative
        elif colon and set(commands.split()) <= COMMANDS:
            if command in commands.split():
                return sentence
        else:
            return alternative
    return ""


COMMANDS = {  # those of `cli.commands`, which imports this file
    "train", "eval", "predict", "features", "convert", "data", "plot", "models", "weights", "summary", "recalibrate",
    "replay", "experiment", "prepare", "zero-shot", "retrieve",
}  # fmt: skip
