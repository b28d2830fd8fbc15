"""A task that nobody runs: its queue is filled by measurements."""

from server.catalog import Payload, Task


class Note(Payload, frozen=True):
    note: str = ""


LISTED = Task(name="listed.job", queue="listed", payload=Note)
