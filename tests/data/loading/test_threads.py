"""Reading ahead in threads."""

import threading

import pytest

from resnet_jax.data.loading.threads import in_threads, processors


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_ahead_of_their_use(threads):
    started = []

    def read(i):
        started.append(i)
        return i * i

    results = in_threads(read, 50, threads=threads, ahead=20)
    assert next(results) == 0
    assert list(results) == [i * i for i in range(1, 50)] and sorted(started) == list(range(50))


def test_an_error_reaches_the_reader_after_the_results_before_it():
    def read(i):
        if i == 3:
            raise ValueError("three")
        return i

    results = in_threads(read, 10, threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_no_more_is_read_once_the_reader_stops():
    gate, started = threading.Event(), []

    def read(i):
        started.append(i)
        gate.wait(5 * (i > 0))

    results = in_threads(read, 1000, threads=1)
    next(results)
    results.close()
    gate.set()
    assert len(started) < 10


def test_there_is_a_processor():
    assert processors() >= 1
