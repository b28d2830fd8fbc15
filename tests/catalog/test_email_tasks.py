"""The built-in mails: what they take and what they refuse."""

import json
from typing import Any

import pytest

from server.catalog import Catalog, InvalidPayload, Task
from server.catalog.email import PASSWORD_RESET, PAYMENT_RECEIPT, VERIFICATION_CODE, WELCOME

CODE = {"email": "ada@example.org", "code": "123456", "first_name": "Ada"}
RESET = {"email": "ada@example.org", "reset_token": "t0k3n", "first_name": "Ada"}
PAYLOADS: list[tuple[Task[Any], dict[str, str]]] = [
    (VERIFICATION_CODE, CODE),
    (PASSWORD_RESET, RESET),
    (WELCOME, {"user_id": "7", "course_id": "c:42"}),
    (PAYMENT_RECEIPT, {"user_id": "7", "payment_id": "pi_3.x", "course_id": "c-42"}),
]
HEADER_BREAKS = ["\n", "\r", "\r\n", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[31m", "\u202e"]


def fields_refused(task: Task[Any], payload: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidPayload) as refused:
        task.check(json.dumps(payload).encode())
    return [violation.field for violation in refused.value.violations]


@pytest.mark.parametrize(("task", "payload"), PAYLOADS, ids=lambda value: getattr(value, "name", ""))
def test_a_mail_waits_in_the_email_queue_and_takes_exactly_its_fields(task: Task[Any], payload: dict[str, str]) -> None:
    value = task.decode(json.dumps(payload).encode())

    assert {name: getattr(value, name) for name in payload} == payload
    assert task.queue == "email"
    for name in payload:
        rest = {other: text for other, text in payload.items() if other != name}
        assert fields_refused(task, rest) == [f"payload.{name}"]
        assert fields_refused(task, payload | {name: 7}) == [f"payload.{name}"]
        assert fields_refused(task, payload | {name: ""}) == [f"payload.{name}"]


@pytest.mark.parametrize("broken", HEADER_BREAKS)
@pytest.mark.parametrize(("task", "payload"), PAYLOADS, ids=lambda value: getattr(value, "name", ""))
def test_no_field_can_break_out_of_its_line(task: Task[Any], payload: dict[str, str], broken: str) -> None:
    for name, text in payload.items():
        injected = f"{text[0]}{broken}Bcc: eve@example.org"
        assert fields_refused(task, payload | {name: injected}) == [f"payload.{name}"]


def test_an_encoded_word_is_refused_whatever_it_hides() -> None:
    """Python 3.11's own email package makes a second header of this first name."""
    for name in CODE:
        word = "=?utf-8?q?Ada=0ABcc:_eve@example.org?="
        assert fields_refused(VERIFICATION_CODE, CODE | {name: word}) == [f"payload.{name}"]


@pytest.mark.parametrize(
    ("task", "field", "most"),
    [
        (VERIFICATION_CODE, "code", 64),
        (VERIFICATION_CODE, "first_name", 100),
        (PASSWORD_RESET, "reset_token", 512),
        (WELCOME, "user_id", 100),
        (PAYMENT_RECEIPT, "payment_id", 100),
    ],
)
def test_a_field_has_a_greatest_length(task: Task[Any], field: str, most: int) -> None:
    payload = dict(PAYLOADS)[task]

    task.check(json.dumps(payload | {field: "x" * most}).encode())

    assert fields_refused(task, payload | {field: "x" * (most + 1)}) == [f"payload.{field}"]


@pytest.mark.parametrize("blank", [" ", "\u00a0\u3000"])
def test_a_blank_name_is_refused(blank: str) -> None:
    assert fields_refused(VERIFICATION_CODE, CODE | {"first_name": blank}) == ["payload.first_name"]


@pytest.mark.parametrize("name", ["Ada", "José", "Nguyễn Thị", "李", "O'Brien-Smith", "محمد", "👩🏽‍🚀", "a =? b"])
def test_names_of_people_are_accepted(name: str) -> None:
    assert VERIFICATION_CODE.decode(json.dumps(CODE | {"first_name": name}).encode()).first_name == name


@pytest.mark.parametrize(
    ("task", "payload", "field"), [(VERIFICATION_CODE, CODE, "code"), (PASSWORD_RESET, RESET, "reset_token")]
)
def test_codes_and_tokens_are_secret(task: Task[Any], payload: dict[str, str], field: str) -> None:
    masked = json.loads(task.mask(json.dumps(payload).encode()))

    assert masked == payload | {field: "***"}


def test_a_caller_reads_what_is_wrong() -> None:
    payload = {"email": "ada", "first_name": "Ada\nBcc: eve@example.org", "cod": "123456"}

    with pytest.raises(InvalidPayload) as refused:
        VERIFICATION_CODE.check(json.dumps(payload).encode())

    assert [str(violation) for violation in refused.value.violations] == [
        "payload.email must be an email address such as ada@example.org: it must have one @",
        "payload.code is missing",
        "payload.first_name must be one line without control characters",
        "payload.cod is not a field of this task: did you mean code?",
    ]


def test_every_built_in_mail_is_in_the_catalog() -> None:
    assert set(Catalog.load().tasks) == {task.name for task, _ in PAYLOADS}
