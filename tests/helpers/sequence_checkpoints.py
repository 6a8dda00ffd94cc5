"""Checkpoints of untrained nets of series, sounds and texts, written without a run."""

from functools import partial

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax import create_model
from resnet_jax.inputs import AudioPreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.tasks import LanguageModel
from resnet_jax.training.state import TrainState
from resnet_jax.weights.checkpoint import save_checkpoint


def save_untrained(folder, name, preprocess, classes, task=None, **options):
    """A checkpoint of a net with random weights; returns its folder."""
    options |= {"num_classes": len(classes), **preprocess.model_options()}
    net = create_model(name, **options)
    example = np.zeros((1, *preprocess.spatial_shape(2048)), preprocess.dtype)
    example = example if preprocess.dtype == np.int32 else example[..., None].repeat(net.in_channels, -1)
    shapes = flatten_dict(jax.eval_shape(partial(net.init, train=False), jax.random.key(0), example))
    rng = np.random.default_rng(0)
    variables = {}
    for path, leaf in shapes.items():
        fan = max(1, int(np.prod(leaf.shape[:-1])))
        sample = rng.standard_normal(leaf.shape) / np.sqrt(fan)
        variables[path] = (np.ones(leaf.shape) if path[-1] in ("var", "scale") else sample).astype(np.float32)
    state = TrainState.from_variables(unflatten_dict(variables), optax.identity(), jax.random.key(0))
    save_checkpoint(folder, state, name, overrides=options, preprocess=preprocess, classes=classes, task=task)
    return folder


def series_net(folder):
    return save_untrained(folder, "tsc_fcn", SeriesPreprocess(1), ("1", "2"))


def sound_net(folder):
    how = AudioPreprocess(sample_rate=8000, front_end="waveform", normalise="each", seconds=0.25)
    return save_untrained(folder, "m5", how, ("no", "yes"))


def text_net(folder):
    how = TextPreprocess.of_texts(["good film", "bad film"], vocabulary="data", fixed_length=64)
    return save_untrained(folder, "vdcnn9", how, ("bad", "good"))


def language_net(folder):
    how = TextPreprocess.of_texts(["a film\na good film\n"], next_token=True, window=16)
    tokens = how.tokenizer.vocabulary.tokens
    return save_untrained(folder, "gcnn8_char", how, tokens, LanguageModel(tokens=tokens))
