"""One line per event: JSON, or text for people. What dramatiq, uvicorn and grpc log goes the same way."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

get_logger = structlog.get_logger

_ALWAYS = ("timestamp", "level", "logger", "event")
_AGAIN_IN_COLOUR = "color_message"  # uvicorn's messages bring this along

_FIELDS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def configure(*, level: str, format: Literal["json", "console"]) -> None:
    """Sends every log of the process, from `level` on, to standard error. May be called again."""
    renderer = structlog.processors.JSONRenderer() if format == "json" else _text
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*_FIELDS, ExtraAdder()],
            processors=[ProcessorFormatter.remove_processors_meta, _in_order, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # At debug it writes several lines about its event loop for each call.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.INFO)
    structlog.configure(
        processors=[*_FIELDS, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


class _Stderr:
    """Standard error as it is when a line is written: dramatiq replaces it in its worker processes."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """First what every line has, then the rest in the order in which it was added."""
    return {key: event[key] for key in (*_ALWAYS, *event) if key in event and key != _AGAIN_IN_COLOUR}


def _text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`2026-01-31T12:00:00Z info email job completed job_id=7`; a traceback follows, indented.

    Nothing that was logged can pose as a line of its own or reach the terminal as a command.
    """
    traceback = str(event.pop("exception", "")).splitlines()
    head = [_printable(str(event.pop(key))) for key in ("timestamp", "level", "event")]
    fields = [f"{_printable(key)}={_quoted(value)}" for key, value in event.items()]
    return "\n    ".join([" ".join(head + fields), *map(_printable, traceback)])


def _quoted(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() and text and " " not in text else _printable(repr(value))


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
