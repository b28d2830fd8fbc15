"""The description: valid, and of everything that is served."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from server.web.api.routes import routes
from server.web.api.status import ROWS
from tests.web.conftest import Site

PATH = "/api/openapi.json"
GUIDE = """
GET /api/admin/queues/health
GET /api/admin/queues/stats
GET /api/admin/queues/{name}/stats
GET /api/admin/queues/{name}/jobs
GET /api/admin/queues/{name}/job/{id}
POST /api/admin/queues/{name}/job/{id}/retry
DELETE /api/admin/queues/{name}/job/{id}
POST /api/admin/queues/{name}/pause
POST /api/admin/queues/{name}/resume
POST /api/admin/queues/{name}/clean
POST /api/admin/queues/{name}/jobs/retry-failed
"""


@pytest.fixture
async def described(site: Site) -> dict[str, Any]:
    whole: dict[str, Any] = (await site.get(PATH)).body
    return whole


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in it, however deep."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from objects(inner)


async def test_it_is_valid(described: dict[str, Any]) -> None:
    validate(described)


async def test_it_has_the_eleven_paths_of_the_guide(described: dict[str, Any]) -> None:
    assert set(operations(described)) == set(GUIDE.strip().splitlines())


async def test_it_has_everything_that_is_served(described: dict[str, Any], site: Site) -> None:
    served = {
        f"{method} {route.path}"
        for route in routes(site.admin)
        if isinstance(route, Route) and route.path != PATH
        for method in (route.methods or set()) - {"HEAD"}
    }

    assert served == set(operations(described))


async def test_every_operation_says_what_it_does(described: dict[str, Any]) -> None:
    for operation in operations(described).values():
        assert operation["summary"].endswith(".")
        assert operation["description"]
        assert all(response["description"] for response in operation["responses"].values())


async def test_every_field_is_described(described: dict[str, Any]) -> None:
    fields = [
        (name, field)
        for each in objects(described)
        if isinstance(each.get("properties"), dict)
        for name, field in each["properties"].items()
    ]
    parameters = [(each["name"], each) for each in objects(described) if "in" in each and "schema" in each]

    assert len(fields) > 100
    assert [name for name, field in fields + parameters if not field.get("description", "").endswith((".", "`"))] == []


async def test_every_name_that_is_referred_to_is_there_and_no_other(described: dict[str, Any]) -> None:
    referred = {each["$ref"].rpartition("/")[2] for each in objects(described) if "$ref" in each}

    assert referred == set(described["components"]["schemas"])


async def test_every_refusal_is_described_by_its_reason(described: dict[str, Any]) -> None:
    """Those of one status together, where they are possible."""
    retry = operations(described)["POST /api/admin/queues/{name}/job/{id}/retry"]["responses"]

    assert "JOB_NOT_FOUND" in retry["404"]["description"]
    assert "QUEUE_NOT_FOUND" in retry["404"]["description"]
    assert {"JOB_STATE", "SECRETS_ERASED", "UNIQUE_CONFLICT"} <= set(
        retry["409"]["description"].strip(".").replace(",", "").split()
    )
    codes = {str(row.status) for row in ROWS.values()} | {"200", "500"}
    assert {code for each in operations(described).values() for code in each["responses"]} <= codes


async def test_only_what_needs_room_can_find_none(described: dict[str, Any]) -> None:
    """What looks, and what makes room, is done all the same."""
    told = {name: operation["responses"]["503"]["description"] for name, operation in operations(described).items()}

    assert {name.rpartition("/")[2] for name, text in told.items() if "MEMORY_FULL" in text} == {
        "retry",
        "retry-failed",
    }


async def test_it_has_every_reason_there_is(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]

    assert schemas["ErrorDetails"]["properties"]["reason"]["$ref"].endswith("/Reason")
    assert set(schemas["Reason"]["enum"]) == {row.reason for row in ROWS.values()} | {"INTERNAL"}


async def test_no_title_is_more_than_a_name(described: dict[str, Any]) -> None:
    """Programs make classes of them."""
    assert all(title.isidentifier() for each in objects(described) if isinstance(title := each.get("title"), str))


async def test_it_has_the_version_of_the_service(described: dict[str, Any]) -> None:
    assert described["info"]["version"] == metadata.version("cabrank")
