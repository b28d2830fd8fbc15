"""What makes a function the one that runs a task."""

from datetime import timedelta
from typing import cast

from server.catalog import JobContext, Payload, PermanentFailure, Snooze, Task, handler


class Greeting(Payload, frozen=True):
    name: str


GREET = Task(name="greet", queue="greetings", payload=Greeting)
JOB = cast(JobContext, None)


def test_a_plain_function_becomes_a_handler_and_can_still_be_called() -> None:
    @handler(GREET)
    def greet(payload: Greeting, job: JobContext) -> str:
        return f"hello {payload.name}"

    assert (greet.task, greet.is_async) == (GREET, False)
    assert greet(Greeting(name="Ada"), JOB) == "hello Ada"


async def test_an_async_function_becomes_a_handler_and_can_still_be_awaited() -> None:
    @handler(GREET)
    async def greet(payload: Greeting, job: JobContext) -> str:
        return f"hello {payload.name}"

    assert greet.is_async
    assert await greet(Greeting(name="Ada"), JOB) == "hello Ada"


def test_the_ways_out_say_why() -> None:
    assert str(Snooze(timedelta(seconds=5), "the mail server is away")) == "the mail server is away"
    assert str(Snooze()) == "not yet"
    assert str(PermanentFailure("no such user")) == "no such user"
