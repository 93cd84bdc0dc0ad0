import threading

import pytest

from sed.prefetch import prefetched


def counted(end, made, closed=None):
    """Yield 0 .. end - 1, noting each in `made`, and the thread that closed the generator in `closed`."""
    try:
        for number in range(end):
            made.append(number)
            yield number
    finally:
        if closed is not None:
            closed.append(threading.current_thread())


@pytest.mark.parametrize("ahead", [0, 1, 3, 100])
def test_items_come_in_order(ahead):
    assert list(prefetched(counted(20, []), ahead)) == list(range(20))
    assert list(prefetched(counted(0, []), ahead)) == []


def test_no_more_than_asked_are_made_ahead():
    made = []
    items = prefetched(counted(50, made), 4)
    for number in items:
        # Four in the queue, and one that waits for room.
        assert len(made) <= number + 1 + 4 + 1


def test_items_are_made_while_the_consumer_works():
    made, second = [], threading.Event()

    def items():
        yield 1
        second.set()
        yield 2

    source = prefetched(items(), 2)
    made.append(next(source))
    assert second.wait(10)  # though only the first was asked for
    assert [*made, *source] == [1, 2]


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_comes_after_the_items_before_it(ahead):
    def broken():
        yield 1
        raise ValueError("broken")

    source = prefetched(broken(), ahead)
    assert next(source) == 1
    with pytest.raises(ValueError, match="broken"):
        next(source)


def test_closing_ends_the_thread_and_closes_the_items_in_it():
    made, closed = [], []
    before = threading.active_count()
    source = prefetched(counted(10**6, made, closed), 2)
    assert next(source) == 0
    source.close()
    assert threading.active_count() == before
    assert len(made) < 10 and len(closed) == 1 and closed[0] is not threading.current_thread()
