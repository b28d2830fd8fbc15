"""Secrets in what is said about a job."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.workers.hands import leased
from workers.veil import veiled

WORD = 'tök/en "1"\\'


def secret(value: object) -> bytes:
    return json.dumps({"email": "ada@example.org", "token": value}).encode()


def shown(text: str, value: object) -> str:
    return veiled(text, leased(payload=secret(value), masked=secret("***")))


@pytest.mark.parametrize("form", [WORD, repr(WORD), json.dumps(WORD), f"https://x/?t={quote(WORD, safe='')}"])
def test_a_secret_is_hidden_in_every_form_it_takes(form: str) -> None:
    hidden = shown(f"cannot use {form} here", WORD)

    assert "***" in hidden
    assert not any(part in hidden for part in ("tök", "t\\u00f6k", "t%C3%B6k", "en"))


def test_what_is_no_secret_stays() -> None:
    assert shown("no user ada@example.org", WORD) == "no user ada@example.org"


def test_a_job_without_secrets_hides_nothing() -> None:
    assert veiled("all of it", leased(payload=b'{"token":"all"}')) == "all of it"


@pytest.mark.parametrize("value", [{"pin": 4711}, [4711], 4711, {"deep": [{"pin": "4711"}]}])
def test_everything_inside_a_secret_field_is_secret(value: object) -> None:
    assert shown("wrong pin 4711", value) == "wrong pin ***"


def test_a_longer_secret_is_hidden_whole_although_a_shorter_one_is_part_of_it() -> None:
    assert shown("code abcdef", ["abc", "abcdef"]) == "code ***"


@pytest.mark.parametrize("value", ["", None, True, [], {}])
def test_a_secret_that_says_nothing_hides_nothing(value: object) -> None:
    assert shown("true, None and so on", value) == "true, None and so on"


def test_a_payload_that_is_no_object_is_survived() -> None:
    assert veiled("text", leased(payload=b"[1,2", masked=b'"***"')) == "text"
