"""What a handler may do with its job."""

from __future__ import annotations

from typing import Any

import pytest

from server.catalog import JobContext
from tests.workers.hands import begun, leased
from workers.context import Context
from workers.holding import Holding
from workers.settler import Note


class Notebook:
    def __init__(self) -> None:
        self.notes: list[Note] = []

    def note(self, note: Note) -> None:
        self.notes.append(note)


def context(holding: Holding | None = None) -> tuple[Context, list[Note]]:
    book: Any = Notebook()
    return Context(holding or begun(), book), book.notes


def test_it_is_what_handlers_are_promised() -> None:
    job: JobContext = context(begun(leased("7", labels={"tenant": "a"}, max_attempts=9)))[0]

    assert (job.id, job.queue, job.task, job.attempt) == ("7", "email", "email.welcome", 1)
    assert (job.labels, job.max_attempts, job.snoozes, job.cancelled) == ({"tenant": "a"}, 9, 0, False)


@pytest.mark.parametrize("percent", [0, 33.3, 100])
def test_progress_is_noted_under_the_lease(percent: float) -> None:
    job, notes = context()

    job.progress(percent, "on the way")

    assert notes == [Note(lease=leased().lease, progress=(percent, "on the way"))]


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_progress_beyond_its_ends_is_refused(percent: float) -> None:
    job, notes = context()

    with pytest.raises(ValueError, match="between 0 and 100"):
        job.progress(percent)
    assert notes == []


def test_what_is_noted_is_cut() -> None:
    job, notes = context()

    job.log("a" * 5000)
    job.progress(1, "b" * 5000)

    assert notes[0].line == "a" * 1000
    assert notes[1].progress == (1.0, "b" * 200)


def test_a_secret_is_not_noted() -> None:
    job, notes = context(begun(leased(payload=b'{"code":"123456"}', masked=b'{"code":"***"}')))

    job.log("sending 123456")
    job.progress(50, "123456 is on its way")

    assert "123456" not in repr(notes)
