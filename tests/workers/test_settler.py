"""How the engine hears of the ends of jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.dev.valkey import EmbeddedServer
from server.engine import admit, work
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import BackendUnavailable
from server.engine.job import JobError, JobState
from server.engine.store import Store
from server.engine.work import Completion, Release, Retry, Snooze
from tests.workers.duty import QUEUE, new_job, probe, until
from workers.holding import Holding, Holdings
from workers.outcome import Settlement, Stop
from workers.settler import Note, Settler

LOOK = probe()
SOON = timedelta(minutes=1)
Told = list[tuple[str, bool]]


class Line(Engine):
    """An engine whose line can be cut. It counts the calls that it is given."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.cut = False
        self.calls: list[str] = []

    def run(self, call: Call[Any]) -> Any:
        self.calls.append(call.script.name)
        if self.cut:
            raise BackendUnavailable
        return super().run(call)


@pytest.fixture
def line(valkey: EmbeddedServer) -> Iterator[Line]:
    with Line(Store.parse(valkey.url)) as line:
        yield line


class Bench:
    """A settler with jobs that were reserved and have begun."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.holdings = Holdings()
        self.told: Told = []
        self.settler = Settler(line, self.holdings, told=self._note)

    def begun(self, count: int) -> list[Holding]:
        jobs = [new_job(LOOK) for _ in range(count)]
        self.line.run(admit.enqueue(QUEUE, jobs))
        reservation = self.line.run(work.reserve(QUEUE, worker="w", number=1, want=count, lease=timedelta(seconds=15)))
        holdings = [Holding(job) for job in reservation.jobs]
        for holding in holdings:
            self.holdings.add(holding)
            holding.begin()
        self.line.calls.clear()
        return holdings

    def state(self, holding: Holding) -> JobState | None:
        states = self.line.run(admit.states(QUEUE, [holding.job.request.id]))
        return states[0]  # type: ignore[no-any-return]

    def _note(self, holding: Holding, _: Settlement, taken: bool) -> None:
        self.told.append((holding.job.request.id, taken))


@pytest.fixture
def bench(line: Line) -> Iterator[Bench]:
    bench = Bench(line)
    yield bench
    line.cut = False
    bench.settler.stop(seconds=0)


def completion(holding: Holding, result: bytes | None = None) -> Completion:
    return Completion(run=holding.run, result=result)


def error(message: str = "boom") -> JobError:
    return JobError(type="ValueError", message=message)


def test_what_gathered_goes_in_one_call_for_each_kind_of_end(bench: Bench) -> None:
    holdings = bench.begun(10)
    for holding in holdings[:6]:
        bench.settler.settle(holding, completion(holding))
    for holding in holdings[6:]:
        bench.settler.settle(holding, Retry(run=holding.run, delay=SOON, error=error()))

    bench.settler.start()

    assert bench.settler.drain(seconds=20)
    assert bench.line.calls == ["complete", "retry"]
    assert sorted(bench.told) == sorted((holding.job.request.id, True) for holding in holdings)
    assert len(bench.holdings) == 0


def test_every_kind_of_end_leads_where_it_should(bench: Bench) -> None:
    one, two, three, four, five = bench.begun(5)
    bench.settler.start()
    bench.settler.settle(one, completion(one))
    bench.settler.settle(two, Retry(run=two.run, delay=SOON, error=error()))
    bench.settler.settle(three, Snooze(run=three.run, delay=SOON, reason=error()))
    bench.settler.settle(four, Release(lease=four.job.lease))
    bench.settler.settle(five, Stop(run=five.run))

    assert bench.settler.drain(seconds=20)

    states = [bench.state(holding) for holding in (one, two, three, four, five)]
    assert states == [
        JobState.COMPLETED,
        JobState.DELAYED,
        JobState.DELAYED,
        JobState.WAITING,
        JobState.CANCELLED,
    ]


def test_an_end_that_is_not_taken_is_told_as_such(bench: Bench) -> None:
    (holding,) = bench.begun(1)
    bench.line.run(work.release(QUEUE, [Release(lease=holding.job.lease)]))
    bench.settler.start()

    bench.settler.settle(holding, completion(holding))

    assert bench.settler.drain(seconds=20)
    assert bench.told == [(holding.job.request.id, False)]
    assert len(bench.holdings) == 0


def test_one_that_the_engine_cannot_take_does_not_cost_the_others(bench: Bench) -> None:
    holdings = bench.begun(5)
    impossible: Any = object()
    for holding in holdings:
        result = impossible if holding is holdings[2] else b"1"
        bench.settler.settle(holding, completion(holding, result))

    with capture_logs() as lines:
        bench.settler.start()
        assert bench.settler.drain(seconds=20)

    states = [bench.state(holding) for holding in holdings]
    assert states == [JobState.ACTIVE if n == 2 else JobState.COMPLETED for n in range(5)]
    assert [len(line["jobs"]) for line in lines if line["event"] == "results refused"] == [5, 1]
    # Its lease is kept no longer: it will run again.
    assert len(bench.holdings) == 0


def test_while_redis_is_away_leases_are_kept_and_ends_not_forgotten(bench: Bench) -> None:
    holdings = bench.begun(3)
    bench.line.cut = True
    bench.settler.start()
    for holding in holdings:
        bench.settler.settle(holding, completion(holding))
    until(lambda: bench.line.calls.count("complete") > 2)

    assert len(bench.holdings) == 3
    assert not bench.settler.drain(seconds=0)
    bench.line.cut = False

    assert bench.settler.drain(seconds=20)
    assert [bench.state(holding) for holding in holdings] == [JobState.COMPLETED] * 3


def test_a_settler_that_is_stopped_in_an_outage_says_what_was_not_told(bench: Bench) -> None:
    """And it does not pretend that leases were lost."""
    holdings = bench.begun(3)
    bench.line.cut = True
    bench.settler.start()
    for holding in holdings:
        bench.settler.settle(holding, completion(holding))

    with capture_logs() as lines:
        bench.settler.stop(seconds=0.1)

    assert [(line["event"], line["jobs"]) for line in lines if "jobs" in line] == [
        ("results not told: their jobs will run again", 3)
    ]
    assert bench.told == []
    assert not bench.settler._thread.is_alive()


def test_notes_are_written_before_the_end_that_they_belong_to(bench: Bench) -> None:
    (holding,) = bench.begun(1)
    bench.settler.note(Note(lease=holding.job.lease, line="last words"))
    bench.settler.settle(holding, completion(holding))

    bench.settler.start()

    assert bench.settler.drain(seconds=20)
    job = bench.line.run(admit.get(QUEUE, holding.job.request.id))
    assert ([each.text for each in job.logs], job.state) == (["last words"], JobState.COMPLETED)


def test_a_note_that_cannot_be_written_stops_nothing(bench: Bench) -> None:
    (holding,) = bench.begun(1)
    impossible: Any = object()
    bench.settler.start()

    bench.settler.note(Note(lease=holding.job.lease, line=impossible))
    bench.settler.note(Note(lease=holding.job.lease, progress=(200.0, "")))
    bench.settler.settle(holding, completion(holding))

    assert bench.settler.drain(seconds=20)
    assert bench.state(holding) is JobState.COMPLETED


def test_half_a_character_stops_nothing(bench: Bench) -> None:
    """As in the name of a file that was not UTF-8."""
    (holding,) = bench.begun(1)
    bench.settler.start()

    bench.settler.note(Note(lease=holding.job.lease, line="no file \udcff"))
    bench.settler.settle(holding, Retry(run=holding.run, delay=SOON, error=error("no file \udcff")))

    assert bench.settler.drain(seconds=20)
    job = bench.line.run(admit.get(QUEUE, holding.job.request.id))
    assert [each.text for each in job.logs] == ["no file ?"]
    assert job.state is JobState.DELAYED


def test_of_how_far_a_job_is_only_the_newest_is_told(bench: Bench) -> None:
    """An actor that tells it all the time shall not hold up the ends of other jobs."""
    (holding,) = bench.begun(1)
    for percent in range(100):
        bench.settler.note(Note(lease=holding.job.lease, progress=(percent, "")))
    bench.settler.note(Note(lease=holding.job.lease, line="a line"))

    bench.settler.start()
    bench.settler.settle(holding, completion(holding))

    assert bench.settler.drain(seconds=20)
    assert bench.line.calls.count("note") <= 4
    job = bench.line.run(admit.get(QUEUE, holding.job.request.id))
    assert job.progress is not None
    assert (job.progress.percent, len(job.logs)) == (99, 1)


def test_notes_do_not_pile_up_while_redis_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.settler._MOST_WAITING", 100)
    (holding,) = bench.begun(1)

    for _ in range(1000):
        bench.settler.note(Note(lease=holding.job.lease, line="still waiting"))
    bench.settler.settle(holding, completion(holding))

    assert bench.settler._inbox.qsize() == 101
    bench.settler.start()
    assert bench.settler.drain(seconds=20)
    assert bench.state(holding) is JobState.COMPLETED


def test_a_log_that_cannot_be_written_stops_nothing(line: Line) -> None:
    bench = Bench(line)

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    settler = Settler(line, bench.holdings, told=refuse)
    (holding,) = bench.begun(1)
    settler.start()

    settler.settle(holding, completion(holding))

    assert settler.drain(seconds=20)
    settler.stop(seconds=1)
    assert len(bench.holdings) == 0


def test_ends_that_come_from_many_threads_are_all_told(bench: Bench) -> None:
    holdings = bench.begun(800)
    bench.settler.start()
    parts = [holdings[n::8] for n in range(8)]

    def settle(part: list[Holding]) -> None:
        for holding in part:
            bench.settler.settle(holding, completion(holding))

    threads = [threading.Thread(target=settle, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert bench.settler.drain(seconds=20)
    assert len(bench.told) == 800
    assert all(taken for _, taken in bench.told)
    assert len(bench.line.calls) < 400
