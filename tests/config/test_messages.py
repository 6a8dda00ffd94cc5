"""Messages name options as they are typed."""

from resnet_jax.config.messages import as_typed, with_model_option


def test_messages_name_options_as_they_are_typed():
    for message, typed in {
        "data.batch_size=128, but": "--data.batch-size 128, but",
        "set data.image_size": "set --data.image-size",
        "init.from: nothing": "--init.from: nothing",
        "set --init.from; data/data.path/x 'data.path' my.data.path train.stepsize": None,
        "workdir: expected a folder": "--workdir: expected a folder",
        "the task: a word; another workdir": None,
        "labels; label_kind='multi-hot' reads lists": "labels; --task multilabel reads lists",
        "name it: label_column='NAME', or": "name it: --data.label-column NAME, or",
        "name it: text_column='NAME'; or": "name it: --data.image-column NAME; or",
        "labels='my file.csv' reads it": "--data.labels 'my file.csv' reads it",
        "path='': expected": "--data.path '': expected",
        "classes=('a', \"it's\") for the folders": "--data.classes a 'it'\"'\"'s' for the folders",
        "as test='train[80%:]'": "as --data.test-split 'train[80%:]'",
        "channels=1 makes it grey; image_size=128, or": "--data.channels 1 makes it grey; --data.image-size 128, or",
        "go without: skip_unreadable=True": "go without: --data.unreadable skip",
        "context: expected 1 to 7": "--data.text.context: expected 1 to 7",
        "most=5 is for the vocabulary": "--data.text.most 5 is for the vocabulary",
        "missing='linear' interpolates": "--data.series.missing linear interpolates",
        "(3 .wav); to read sounds: kind='audio'": "(3 .wav); to read sounds: --data.kind audio",
        "balance=True is for": "--data.balance is for",
        "expected ema=None or ema=False": "expected the raw weights, without --ema or --init.ema",
        "/x/labels='a' num_classes=3 open_dataset(path='x') train=True classes=several": None,
        "the best (checkpoint.best).": "the best (--checkpoint.best).",
    }.items():
        assert as_typed(message) == (typed or message)


def test_the_argument_model_is_an_option():
    assert with_model_option("pass model='resnet18'", "--model") == "pass --model resnet18"
    message = with_model_option("pass model=..., one of list_models()", "--model")
    assert message == "pass --model, one of: resnet-jax models"
