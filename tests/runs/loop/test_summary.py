from types import SimpleNamespace

from resnet_jax.checkpoints.best import BestTest, Measure
from resnet_jax.runs.loop.summary import finished_line, format_results, summary_lines
from resnet_jax.tasks import Classification, get_task

RESULTS = {"loss": 0.1234, "top1": 0.9876, "ema_loss": 0.12, "ema_top1": 0.9889, "images": 360}


def plan(steps, length=None, task=None):
    config = SimpleNamespace(workdir="runs/a", train=SimpleNamespace(steps=length))
    return SimpleNamespace(steps=steps, config=config, task=task or Classification(), nouns=("image", "images"))


def test_results_are_those_of_the_task_and_of_averaged_weights():
    line = "test top-1 0.9876, loss 0.1234 (averaged weights: 0.9889, 0.1200)"
    assert format_results(Classification(), RESULTS) == line


def test_of_a_detection_a_line_has_the_first_numbers():
    """There are up to 24; `eval` prints all. A measure of them all can name the best test."""
    results = {"ap": 0.5, "ap_small": 0.25, "ap50": 0.75, "mask_ap": 0.125, "images": 6}
    assert format_results(get_task("detection"), results) == "test AP 0.5000, AP50 0.7500, mask AP 0.1250"
    best = BestTest(Measure("ema_ap_small", 1), 0.5, 4)
    lines = summary_lines(plan(8, task=get_task("detection")), 8, results, best, skipped=0, elapsed="1:05")
    assert lines[0] == "the best: averaged weights' AP small 0.5000 at step 4"


def test_a_finished_run_names_the_option_that_trains_it_longer():
    for option, done in {"--train.epochs": plan(8), "--train.steps": plan(8, 8)}.items():
        longer = f"--config runs/a with a larger {option} and --resume.allow-changes trains it longer"
        assert finished_line(done, 8, RESULTS).endswith(longer)
    assert finished_line(plan(8), 4, RESULTS).endswith("a larger --train.patience resumes it")


def test_the_best_test_is_named_where_it_is_not_the_last():
    measure = Measure("ema_top1", 1)
    lines = summary_lines(plan(8), 8, RESULTS, BestTest(measure, 0.9889, 8), skipped=0, elapsed="1:05")
    assert len(lines) == 1 and lines[0].startswith("done in 1:05: test top-1 0.9876, loss 0.1234 (averaged")
    best = BestTest(measure, 0.99, 4, tests_since=1)
    first, last = summary_lines(plan(8), 8, RESULTS, best, skipped=2, elapsed="1:05")
    assert first == "the best: averaged weights' top-1 0.9900 at step 4" and "; 2 updates skipped; next: " in last
    stopped, _ = summary_lines(plan(9), 8, RESULTS, best, skipped=0, elapsed="1:05")
    assert stopped == f"stopped early at step 8, after 1 tests without a better result (--train.patience); {first}"
