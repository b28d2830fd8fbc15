"""How many jobs a process may hold."""

from __future__ import annotations

import threading
from datetime import timedelta

from workers.capacity import Capacity

AT_ONCE = 0.0


def taken_by(capacity: Capacity, most: int = 1000) -> int:
    return capacity.take(most, seconds=AT_ONCE)


def test_there_is_a_place_for_every_thread() -> None:
    capacity = Capacity(8)

    assert taken_by(capacity) == 8
    assert taken_by(capacity) == 0


def test_no_more_places_are_taken_than_were_asked_for() -> None:
    capacity = Capacity(8)

    assert (taken_by(capacity, most=3), taken_by(capacity)) == (3, 5)


def test_what_was_given_back_can_be_taken_again() -> None:
    capacity = Capacity(8)
    taken_by(capacity)

    capacity.give_back(2)

    assert taken_by(capacity) == 2


def test_who_finds_no_place_waits_for_one() -> None:
    capacity = Capacity(1)
    taken_by(capacity)
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(capacity.take(1, seconds=30)))
    waiting.start()

    capacity.give_back(1)
    waiting.join(10)

    assert found == [1]


def test_who_waits_long_enough_gets_none() -> None:
    capacity = Capacity(1)
    taken_by(capacity)

    assert capacity.take(1, seconds=0.01) == 0


def test_short_jobs_are_held_in_stock() -> None:
    """50 ms of work for every thread: 10 jobs of 5 ms each."""
    capacity = Capacity(4)

    capacity.learn(timedelta(milliseconds=5))

    assert taken_by(capacity) == 4 + 4 * 10


def test_the_stock_has_a_limit() -> None:
    capacity = Capacity(4)

    capacity.learn(timedelta(0))

    assert taken_by(capacity) == 4 + 256


def test_jobs_that_take_their_time_are_not_held_in_stock() -> None:
    capacity = Capacity(4)

    capacity.learn(timedelta(seconds=1))

    assert taken_by(capacity) == 4


def test_the_stock_shrinks_at_once_when_jobs_get_slow_and_comes_back() -> None:
    capacity = Capacity(4)
    capacity.learn(timedelta(milliseconds=1))

    capacity.learn(timedelta(seconds=10))
    while_slow = taken_by(capacity)
    capacity.give_back(while_slow)
    for _ in range(100):
        capacity.learn(timedelta(milliseconds=1))

    assert while_slow == 4
    assert taken_by(capacity) > 100


def test_a_stock_that_shrank_below_what_is_held_gives_nobody_a_place() -> None:
    capacity = Capacity(4)
    capacity.learn(timedelta(milliseconds=1))
    taken_by(capacity)

    capacity.learn(timedelta(seconds=10))

    assert taken_by(capacity) == 0


def test_places_are_never_taken_twice() -> None:
    """Eight threads take and give back; between them there are never more than the places that exist."""
    capacity = Capacity(5)
    taken, most, lock = [0], [0], threading.Lock()

    def come_and_go() -> None:
        for _ in range(300):
            places = capacity.take(2, seconds=10)
            with lock:
                taken[0] += places
                most[0] = max(most[0], taken[0])
            with lock:
                taken[0] -= places
            capacity.give_back(places)

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert most[0] <= 5
    assert capacity.taken == 0
