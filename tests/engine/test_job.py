"""A job refuses what no queue could hold, and names the field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.engine.errors import InvalidValue
from server.engine.job import PAYLOAD_LIMIT, JobState, Unique
from tests.engine.hands import new_job

DAY = timedelta(days=1)
LABELS = {f"name{n}": "v" for n in range(17)}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"queue": "a}b"}, "queue"),
        ({"job_id": "a b"}, "job_id"),
        ({"task": "a b"}, "task"),
        ({"payload": b""}, "payload"),
        ({"payload": b"1" * (PAYLOAD_LIMIT + 1)}, "payload"),
        ({"priority": -101}, "priority"),
        ({"priority": 101}, "priority"),
        ({"delay": timedelta(milliseconds=-1)}, "delay"),
        ({"delay": 367 * DAY}, "delay"),
        ({"delay": DAY, "run_at": datetime(2030, 1, 1, tzinfo=UTC)}, "delay"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1001}, "max_attempts"),
        ({"timeout": timedelta(milliseconds=999)}, "timeout"),
        ({"timeout": DAY + timedelta(milliseconds=1)}, "timeout"),
        ({"retention": timedelta(milliseconds=-1)}, "retention"),
        ({"retention": 367 * DAY}, "retention"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * 201}, "idempotency_key"),
        ({"labels": LABELS}, "labels"),
        ({"labels": {"": "v"}}, "labels['']"),
        ({"labels": {"n" * 101: "v"}}, f"labels['{'n' * 101}']"),
        ({"labels": {"name": "v" * 101}}, "labels['name']"),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        new_job(**fields)

    assert refusal.value.field == field
    assert str(refusal.value) == f"{field} {refusal.value.rule}"


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": b"1" * PAYLOAD_LIMIT},
        {"priority": -100},
        {"priority": 100},
        {"delay": 366 * DAY},
        {"max_attempts": 1000},
        {"timeout": DAY},
        {"retention": timedelta(0)},
        {"idempotency_key": "k" * 200},
        {"labels": dict(list(LABELS.items())[:16]) | {"name0": "v" * 100}},
    ],
)
def test_the_limit_itself_is_allowed(fields: dict[str, Any]) -> None:
    new_job(**fields)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "unique_key"),
        ({"key": "k" * 201}, "unique_key"),
        ({"key": "k", "lasts": timedelta(0)}, "unique_for"),
        ({"key": "k", "lasts": 367 * DAY}, "unique_for"),
    ],
)
def test_a_unique_key_out_of_range_is_refused_by_the_name_of_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Unique(**fields)

    assert refusal.value.field == field


def test_three_states_are_the_end() -> None:
    assert {state.value for state in JobState if state.terminal} == {"completed", "failed", "cancelled"}
