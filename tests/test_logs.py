"""One line per event, whoever logs it and whatever it holds."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import logs

Format = Literal["json", "console"]


@pytest.fixture(autouse=True)
def logging_is_left_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def fail(why: str) -> None:
    raise ValueError(why)


def events(written: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


def test_an_event_is_one_json_line_that_begins_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", format="json")

    logs.get_logger("server.rpc").info("email job completed", queue="email", job_id="7", attempt=2)

    [event] = events(capsys.readouterr().err)
    assert list(event) == ["timestamp", "level", "logger", "event", "queue", "job_id", "attempt"]
    assert event["timestamp"].endswith("Z")
    assert (event["level"], event["logger"], event["attempt"]) == ("info", "server.rpc", 2)


@pytest.mark.filterwarnings("default")
def test_what_other_libraries_log_looks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", format="json")

    logging.getLogger("dramatiq.worker").warning("%d messages", 3, extra={"queue": "email", "color_message": "\x1b[1m"})
    warnings.warn("old", DeprecationWarning, stacklevel=1)

    dramatiq, warning = events(capsys.readouterr().err)
    assert list(dramatiq) == ["timestamp", "level", "logger", "event", "queue"]
    assert (dramatiq["event"], dramatiq["logger"]) == ("3 messages", "dramatiq.worker")
    assert warning["logger"] == "py.warnings"


@pytest.mark.parametrize("format", ["json", "console"])
def test_less_than_the_level_is_not_logged(capsys: pytest.CaptureFixture[str], format: Format) -> None:
    logs.configure(level="warning", format=format)

    logs.get_logger().info("quiet")
    logging.getLogger("uvicorn").info("quiet")

    assert capsys.readouterr().err == ""


def test_an_exception_is_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", format="json")
    for logger in (logs.get_logger("ours"), logging.getLogger("theirs")):
        try:
            fail("broken")
        except ValueError:
            logger.exception("failed")

    assert [event["exception"].splitlines()[-1] for event in events(capsys.readouterr().err)] == [
        "ValueError: broken"
    ] * 2


def test_what_is_bound_to_the_context_is_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", format="json")

    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logs.get_logger().info("ours")
        logging.getLogger("grpc").info("theirs")

    assert [event["request_id"] for event in events(capsys.readouterr().err)] == ["r1", "r1"]


def test_a_line_goes_where_standard_error_is_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """dramatiq puts a pipe in its place after the worker's modules have been imported."""
    logs.configure(level="info", format="json")
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)

    logs.get_logger().info("moved")

    assert (len(events(pipe.getvalue())), capsys.readouterr().err) == (1, "")


def test_configuring_again_replaces_what_was(capsys: pytest.CaptureFixture[str]) -> None:
    """dramatiq's command has configured logging by itself when the workers do."""
    logging.basicConfig(level="DEBUG", force=True)
    logs.configure(level="info", format="console")
    logs.configure(level="info", format="json")

    logging.getLogger("dramatiq").info("once")

    assert len(events(capsys.readouterr().err)) == 1


def test_the_console_shows_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", format="console")

    logs.get_logger("workers").info("email job completed", job_id="7", name="Ada Lovelace", empty="", size=3)

    [line] = capsys.readouterr().err.splitlines()
    assert line.split(" ", 1)[1] == (
        "info email job completed logger=workers job_id=7 name='Ada Lovelace' empty='' size=3"
    )


def test_a_traceback_on_the_console_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", format="console")
    try:
        fail("broken\n2026-01-01T00:00:00Z info all is well\x1b[2J")
    except ValueError:
        logs.get_logger().exception("failed")

    first, *rest = capsys.readouterr().err.splitlines()
    assert " error failed " in first
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in rest)


class Named:
    """An object whose representation is up to someone else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


HOSTILE = st.text() | st.sampled_from(["a\nb", "\x1b[31mred", "\u2028", "\x9b2J", "\u202e", "\ud800", "a\r"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(["json", "console"]),
    event=HOSTILE,
    key=HOSTILE,
    value=HOSTILE | st.lists(HOSTILE) | st.builds(Named, HOSTILE),
)
def test_nothing_that_is_logged_can_pose_as_another_line(
    monkeypatch: pytest.MonkeyPatch, format: Format, event: str, key: str, value: object
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure(level="info", format=format)

    logs.get_logger().info(event, **{f"x{key}": value})
    logging.getLogger("theirs").info("%s", event)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
