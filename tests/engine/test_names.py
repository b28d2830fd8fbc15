"""Names that become part of keys and members."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.call import keys_of
from server.engine.errors import InvalidValue
from server.engine.names import checked_job_id, checked_queue, checked_task, checked_worker, new_job_id

HOSTILE = [
    "",
    " ",
    "a b",
    "a\nb",
    "a\n",
    "a}b",
    "{a}",
    "a\x00",
    "ä",
    "-a",
    "*",
    "a/b",
    "a" * 201,
    "a\u200bb",
    '"',
    "a\\",
]
CHECKS = [checked_queue, checked_job_id, checked_task]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_would_break_a_key_or_a_record_is_refused(check: Callable[[str], str], name: str) -> None:
    with pytest.raises(InvalidValue):
        check(name)


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (checked_queue, "email"),
        (checked_queue, "E-mail_2.high"),
        (checked_queue, "q" * 100),
        (checked_job_id, "order:17"),
        (checked_task, "email.verification_code"),
        (checked_task, "make.<locals>.inner"),
        (checked_worker, "web-1.example.org:4711/a#2@[::1]"),
    ],
)
def test_a_usual_name_is_taken_as_it_is(check: Callable[[str], str], name: str) -> None:
    assert check(name) == name


@given(st.text())
def test_no_queue_name_leads_out_of_its_hash_tag(name: str) -> None:
    try:
        keys = keys_of(name, ["jobs", "waiting"])
    except InvalidValue:
        return

    assert keys == (f"cabrank:{{{name}}}:jobs", f"cabrank:{{{name}}}:waiting")
    assert all(key.count("{") == key.count("}") == 1 and " " not in key for key in keys)


@given(st.text())
def test_whatever_a_worker_may_be_called_fits_into_a_lease(name: str) -> None:
    try:
        checked_worker(name)
    except InvalidValue:
        return

    assert name.split() == [name]
    assert not set(name) & {'"', "\\"}


def test_new_ids_are_valid_unlike_and_sorted_by_their_time() -> None:
    ids = [new_job_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert all(checked_job_id(job_id) == job_id and len(job_id) == 24 for job_id in ids)
    assert ids[0][:9] <= ids[-1][:9]
