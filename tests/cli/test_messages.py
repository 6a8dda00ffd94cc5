"""Messages name options as they are typed."""

from resnet_jax.cli.messages import as_typed


def test_messages_name_options_as_they_are_typed():
    for message, typed in {
        "data.batch_size=128, but": "--data.batch-size 128, but",
        "set data.image_size": "set --data.image-size",
        "init.from: nothing": "--init.from: nothing",
        "set --init.from; data/data.path/x 'data.path' my.data.path train.stepsize": None,
        "workdir: expected a folder": "--workdir: expected a folder",
        "the task: a word; another workdir": None,
        "labels; label_kind='multi-hot' reads lists": "labels; --task multilabel reads lists",
        "the best (checkpoint.best).": "the best (--checkpoint.best).",
    }.items():
        assert as_typed(message) == (typed or message)
