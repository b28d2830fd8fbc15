"""How a refusal is told: status, envelope, reason, and nothing of the inside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from cabrank.v1.error_pb2 import ErrorReason

from server.admin.queues import Queues
from server.catalog import CatalogError
from server.dev.valkey import EmbeddedServer
from server.engine.errors import EngineError
from server.rpc import status as rpc
from server.web.api import status as web
from server.web.api.endpoints import ENDPOINTS
from server.web.api.errors import ApiError
from tests.web.conftest import QUEUES, Site

OURS = (EngineError, CatalogError)  # what both doors meet


def shared(rows: dict[type[Exception], Any]) -> dict[str, str]:
    """What is told of the errors of the floors below: their names, and their reasons."""
    return {error.__name__: row.reason for error, row in rows.items() if issubclass(error, OURS)}


def test_both_doors_tell_the_same_errors_by_the_same_reasons() -> None:
    assert shared(web.ROWS) == shared(rpc.ROWS)


def test_every_refusal_of_the_door_has_a_row() -> None:
    assert set(ApiError.__subclasses__()) <= web.ROWS.keys()


def test_the_doors_own_reasons_are_not_words_of_the_contract() -> None:
    """Only gRPC has a word for a wrong field: it is the same mistake here."""
    contract = {value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values}
    own = {row.reason for error, row in web.ROWS.items() if issubclass(error, ApiError)}

    assert own & contract == {"INVALID_FIELD"}


async def test_an_unknown_queue_is_told_with_the_nearest_names(site: Site) -> None:
    reply = await site.get(f"{QUEUES}/emial/stats")

    assert reply.status == 404
    assert reply.body == {
        "success": False,
        "message": "there is no queue 'emial'; did you mean email?",
        "error": {"reason": "QUEUE_NOT_FOUND", "field": "name"},
    }


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "jobs?status=failed&task=email.welcom"), ("POST", "jobs/retry-failed")]
)
async def test_an_unknown_task_is_told_with_the_nearest_names(site: Site, method: str, path: str) -> None:
    reply = await site.ask(method, f"{QUEUES}/email/{path}", {"task": "email.welcom"} if method == "POST" else None)

    assert (reply.status, reply.reason, reply.body["error"]["field"]) == (404, "TASK_NOT_FOUND", "task")
    assert "did you mean email.welcome" in reply.body["message"]


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if "{name}" in each.path], ids=lambda each: each.name)
async def test_every_endpoint_that_names_a_queue_refuses_an_unknown_one(site: Site, endpoint: Any) -> None:
    path = endpoint.full_path.format(name="nothing", id="a") + (
        "?status=failed" if endpoint.path.endswith("jobs") else ""
    )

    assert (await site.ask(endpoint.method, path)).reason == "QUEUE_NOT_FOUND"


@pytest.mark.parametrize("path", ["/api/", "/api/admin", QUEUES, f"{QUEUES}/email", f"{QUEUES}/stats/", "/api/x/../y"])
async def test_an_unknown_path_is_told_in_the_envelope(site: Site, path: str) -> None:
    reply = await site.get(path)

    assert (reply.status, reply.reason) == (404, "PATH_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/stats", "GET, HEAD"),
        ("GET", "/email/pause", "POST"),
        ("PUT", "/email/job/a", "DELETE, GET, HEAD"),
        ("TRACE", "/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_with_the_right_ones(site: Site, method: str, path: str, allowed: str) -> None:
    reply = await site.ask(method, QUEUES + path)

    assert (reply.status, reply.reason) == (405, "METHOD_NOT_ALLOWED")
    assert ", ".join(sorted(reply.headers["allow"].split(", "))) == allowed


async def test_a_head_is_answered_as_a_get_without_its_body(site: Site) -> None:
    reply = await site.ask("HEAD", f"{QUEUES}/stats")

    assert (reply.status, reply.body) == (200, "")
    assert int(reply.headers["content-length"]) > 0


@pytest.fixture
def frozen(valkey: EmbeddedServer) -> Iterator[None]:
    """Redis takes connections and commands, and answers none."""
    os.kill(valkey.pid, signal.SIGSTOP)
    yield
    os.kill(valkey.pid, signal.SIGCONT)


@pytest.mark.usefixtures("frozen")
async def test_an_outage_says_when_to_ask_again(site: Site) -> None:
    reply = await site.get(f"{QUEUES}/stats")

    assert (reply.status, reply.reason) == (503, "BACKEND_UNAVAILABLE")
    assert reply.headers["retry-after"] == "1"


async def test_a_fault_tells_nothing_of_the_inside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("password hunter2")

    monkeypatch.setattr(Queues, "all", broken)
    with structlog.testing.capture_logs() as log:
        reply = await site.get(f"{QUEUES}/stats")

    correlation_id = reply.body["error"]["correlationId"]
    assert (reply.status, reply.reason) == (500, "INTERNAL")
    assert set(reply.body["error"]) == {"reason", "correlationId"}
    assert correlation_id in reply.body["message"]
    assert "hunter2" not in str(reply.body)
    (line,) = [line for line in log if line.get("correlation_id") == correlation_id]
    assert (line["log_level"], line["endpoint"], type(line["exc_info"])) == ("error", "list_queues", KeyError)


async def test_answers_are_neither_kept_nor_taken_for_pages(site: Site) -> None:
    for path in ("/stats", "/nothing"):
        headers = (await site.get(QUEUES + path)).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
