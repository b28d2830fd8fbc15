"""What requests may not hold: every wrong field is named, and nothing was done."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.engine.job import JobState
from server.web.api.errors import BODY_LIMIT
from tests.engine.hands import Worker, put, state
from tests.web.conftest import QUEUES, Reply, Site

CLEAN = f"{QUEUES}/email/clean"
JOBS = f"{QUEUES}/email/jobs"
STATUS = "must be waiting, active, completed, failed, delayed or cancelled"
MOMENT = "must be a moment with its time zone, such as 2030-01-31T08:00:00Z, or milliseconds since 1970"


def faults(reply: Reply) -> dict[str, str]:
    """The phrases about the wrong fields, by their names."""
    assert (reply.status, reply.reason) == (400, "INVALID_FIELD")
    found = {fault["field"]: fault["message"] for fault in reply.body["error"]["faults"]}
    assert reply.body["error"]["field"] == next(iter(found))
    assert reply.body["message"] == "; ".join(f"{name} {phrase}" for name, phrase in found.items())
    return found


async def test_every_wrong_field_is_named(site: Site) -> None:
    reply = await site.ask("POST", CLEAN, {"limit": -1, "status": "active", "dryrun": True, "grace": "1"})

    assert faults(reply) == {
        "dryrun": "is not known here: did you mean dryRun?",
        "status": "must be cancelled, completed, delayed, failed or waiting",
        "grace": "must be a whole number from 0 to 315,360,000,000",
        "limit": "must be a whole number from 0 to 2,147,483,647",
    }


@pytest.mark.parametrize(
    ("query", "field", "phrase"),
    [
        ("", "status", f"is missing: {STATUS}"),
        ("status=wait", "status", f"{STATUS}: did you mean waiting?"),
        ("status=complete", "status", f"{STATUS}: did you mean completed?"),
        ("status=prioritized", "status", STATUS),
        ("status=failed&limit=0", "limit", "must be a whole number of at least 1"),
        ("status=failed&limit=ten", "limit", "must be a whole number of at least 1"),
        ("status=failed&order=up", "order", "must be newest or oldest"),
        ("status=failed&status=waiting", "status", "is given more than once"),
        ("status=failed&pageToken=x", "pageToken", "must be one that an earlier answer held"),
        ("status=failed&asc=true", "asc", "is called order here: oldest or newest"),
        ("state=failed&status=failed", "state", "is called status here"),
    ],
)
async def test_a_wrong_parameter_is_named(site: Site, query: str, field: str, phrase: str) -> None:
    assert faults(await site.get(f"{JOBS}?{query}")) == {field: phrase}


async def test_offsets_are_refused_with_what_to_do_instead(site: Site) -> None:
    """Scripts for BullMQ page by them, and would see jobs twice or not at all."""
    told = faults(await site.get(f"{JOBS}?status=failed&start=0&end=49"))

    assert set(told) == {"start", "end"}
    assert "pageToken" in told["start"]


async def test_a_limit_above_the_most_is_taken_as_the_most(site: Site) -> None:
    assert (await site.get(f"{JOBS}?status=failed&limit=5000")).status == 200


@pytest.mark.parametrize(
    ("body", "phrase"),
    [
        (
            b'{"limit": 1,\n 2}',
            "is not valid JSON: Expecting property name enclosed in double quotes: line 2 column 2 (char 14)",
        ),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"limit": NaN}', "is not valid JSON: JSON is malformed: invalid character (byte 10)"),
        (b"\xff", "is not valid JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 10_000, "is nested too deeply"),
        (b'{"limit": 1, "limit": 2}', "holds an object with the same name twice"),
    ],
)
async def test_a_body_must_be_a_json_object(site: Site, body: bytes, phrase: str) -> None:
    assert faults(await site.ask("POST", CLEAN, body)) == {"body": phrase}


async def test_a_body_must_be_said_to_be_json(site: Site, worker: Worker) -> None:
    """As curl -d sends it without a header, and as a form of a page could."""
    put(worker.engine, "waiting")

    reply = await site.ask("POST", CLEAN, b'{"status":"waiting"}', content_type="application/x-www-form-urlencoded")

    assert (reply.status, reply.reason) == (415, "NOT_JSON")
    assert state(worker.engine, "waiting") is JobState.WAITING


async def test_a_media_type_may_name_its_charset(site: Site) -> None:
    assert (await site.ask("POST", CLEAN, b"{}", content_type="Application/JSON; charset=utf-8")).status == 200


async def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    largest = json.dumps({"task": ""}).encode().ljust(BODY_LIMIT)
    path = f"{JOBS}/retry-failed"

    assert (await site.ask("POST", path, largest)).status == 200
    reply = await site.ask("POST", path, largest + b" ")

    assert (reply.status, reply.reason) == (413, "BODY_TOO_LARGE")
    assert reply.body["error"]["limitBytes"] == BODY_LIMIT


async def test_a_body_that_comes_in_pieces_is_bounded_as_well(site: Site) -> None:
    """Without a length that could be looked at before."""
    host, port = site.host.split(":")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"POST {CLEAN} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for _ in range(65):
        writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")

    assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_stands_in_the_query_of_a_write_is_not_passed_over(site: Site, worker: Worker, method: str) -> None:
    """A dry run that nobody saw would be none."""
    put(worker.engine, "waiting")
    path = CLEAN if method == "POST" else f"{QUEUES}/email/job/waiting"
    instead = "goes into the body of a POST, which is JSON" if method == "POST" else "is not known here"

    assert faults(await site.ask(method, f"{path}?dryRun=true")) == {"dryRun": instead}
    assert state(worker.engine, "waiting") is JobState.WAITING


@pytest.mark.parametrize("verb", ["pause", "resume", "clean", "jobs/retry-failed"])
async def test_an_empty_object_is_as_good_as_no_body(site: Site, verb: str) -> None:
    """Clients that always send one are served as well."""
    assert (await site.ask("POST", f"{QUEUES}/email/{verb}", {})).status == 200


@pytest.mark.parametrize(
    ("moment", "phrase"),
    [
        (1, "must lie in the future"),
        (-1, MOMENT),
        (10**20, MOMENT),
        ("2001-01-01T00:00:00Z", "must lie in the future"),
        ("2096-10-02T08:06:40", MOMENT),
        ("9999-12-31T23:59:59-23:59", "must lie in the years 1 to 9999"),
        ("tomorrow", MOMENT),
        (True, MOMENT),
    ],
)
async def test_a_pause_ends_in_the_future(site: Site, moment: Any, phrase: str) -> None:
    assert faults(await site.ask("POST", f"{QUEUES}/email/pause", {"resumeAt": moment})) == {"resumeAt": phrase}
    assert not (await site.get(f"{QUEUES}/email/stats")).body["data"]["paused"]


@pytest.mark.parametrize(
    ("path", "body", "phrase"),
    [
        ("clean", {"olderThan": "yesterday"}, "must be a number and a unit, such as 24h"),
        ("clean", {"dryRun": "yes"}, "must be true or false"),
        (
            "clean",
            {"status": "complete"},
            "must be cancelled, completed, delayed, failed or waiting: did you mean completed?",
        ),
        ("pause", {"reason": "x" * 201}, "must be text of at most 200 characters"),
        ("jobs/retry-failed", {"task": 1}, "must be text"),
        ("jobs/retry-failed", {"limit": None}, "must be a whole number from 0 to 2,147,483,647"),
    ],
)
async def test_a_wrong_value_is_told_in_words_for_people(
    site: Site, path: str, body: dict[str, Any], phrase: str
) -> None:
    (field,) = body

    assert faults(await site.ask("POST", f"{QUEUES}/email/{path}", body)) == {field: phrase}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"grace": 1000, "olderThan": "1s"}, "grace"),
        ({"olderThan": "yesterday"}, "olderThan"),
        ({"olderThan": ""}, "olderThan"),
        ({"grace": 10**18}, "grace"),
        ({"limit": 2**31}, "limit"),
        ({"limit": None}, "limit"),
        ({"start": 1}, "start"),
        ({"x" * 10_000: 1}, "x" * 100),
        ({"\u202e": 1}, repr("\u202e")),
    ],
)
async def test_a_clean_is_asked_for_in_one_way(site: Site, body: dict[str, Any], field: str) -> None:
    assert set(faults(await site.ask("POST", CLEAN, body))) == {field}


async def test_faults_are_told_up_to_a_number(site: Site) -> None:
    reply = await site.ask("POST", CLEAN, {f"x{n}": 1 for n in range(5000)})

    assert len(faults(reply)) == 20


async def test_a_job_id_that_could_be_none_is_refused(site: Site) -> None:
    reply = await site.get(f"{QUEUES}/email/job/a%20b")

    assert faults(reply) == {"id": "must be 1 to 100 letters, digits, _ . : or -"}
