"""From the job to the mail in the reader's server: with a real conversation, and a platform that is a real process."""

from __future__ import annotations

import asyncio
import email
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope, Session

from server import logs
from server.catalog import email as tasks
from server.dev.ports import free_port
from server.dev.valkey import EmbeddedServer
from server.engine.backoff import Backoff
from server.engine.job import AttemptOutcome, FailureReason, Job, JobState
from server.settings import Address
from server.settings.mail import BrandSettings, SmtpSettings
from tests.conftest import raw_client
from tests.engine.hands import keys_that_hold
from tests.mail.sink import HANG_UP, Sink, until
from tests.workers.duty import Duty
from workers.actors import email as actors
from workers.loop import EventLoop
from workers.mail.message import message_id_for
from workers.services import ClosesServices, install

_EXAMPLE = Path(__file__).parents[2] / "clients" / "python" / "examples" / "platform_service.py"
HANDLERS = (
    actors.send_verification_code,
    actors.send_password_reset,
    actors.send_welcome,
    actors.send_payment_receipt,
)
CODE = tasks.VerificationCode(email="ada@example.org", code="471147", first_name="Ada")  # type: ignore[arg-type]
RESET = tasks.PasswordReset(email="ada@example.org", reset_token="tok/en+980265", first_name="Ada")  # type: ignore[arg-type]  # noqa: S106
WELCOME = tasks.Welcome(user_id="user-ada", course_id="course-algebra")  # type: ignore[arg-type]
RECEIPT = tasks.PaymentReceipt(user_id="user-ada", payment_id="payment-1", course_id="course-algebra")  # type: ignore[arg-type]
CLOSING = "421 4.3.2 closing"
STEADY = Backoff(initial=timedelta(milliseconds=50), jitter=0)


class Notary(Sink):
    """Remembers the Message-ID of every mail that it was shown, whether it took it or not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shown: list[str] = []

    async def handle_DATA(self, smtp: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.shown.append(str(parsed(envelope)["Message-ID"]))
        return await super().handle_DATA(smtp, session, envelope)


@pytest.fixture
async def sink() -> AsyncIterator[Notary]:
    notary = Notary()
    async with notary.listening():
        yield notary


@pytest.fixture(scope="module")
def platform() -> Iterator[Address]:
    command = [sys.executable, str(_EXAMPLE), "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Address.parse(process.stdout.readline().removeprefix("platform service: ").strip())
        process.kill()


class Office:
    """A worker that sends mails. What it waits for, the event loop of the test goes on meanwhile."""

    def __init__(self, duty: Duty) -> None:
        self.duty = duty
        self._services = install(duty.broker.settings)
        duty.broker.add_middleware(ClosesServices(self._services), after=EventLoop)

    def order(self, payload: Any, **fields: Any) -> str:
        task = next(handler.task for handler in HANDLERS if handler.task.payload is type(payload))
        return self.duty.enqueue(task, payload, **fields)

    async def when(self, job_id: str, *states: JobState) -> Job:
        """As soon as it is in one of these states; without any, at its end."""

        def come() -> bool:
            state = self.duty.state(job_id, "email")
            return state in states if states else state.terminal

        await until(come, deadline=20)
        return self.duty.job(job_id, "email")

    async def send(self, payload: Any, **fields: Any) -> Job:
        return await self.when(self.order(payload, **fields))

    async def stop(self) -> None:
        await asyncio.to_thread(self.duty.stop)


@pytest.fixture
def brief_snoozes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.outcome._FIRST_SNOOZE", timedelta(milliseconds=20))


@pytest.fixture
async def opened(valkey: EmbeddedServer) -> AsyncIterator[list[Office]]:
    offices: list[Office] = []
    yield offices
    for office in offices:
        await office.stop()
        office.duty.__exit__()


def open_office(
    valkey: EmbeddedServer,
    opened: list[Office],
    *,
    port: int | None = None,
    platform: Address | None = None,
) -> Office:
    smtp = SmtpSettings(
        host="127.0.0.1" if port else None, given_port=port, tls="none", sender="Desk <desk@cabrank.example>"
    )
    brand = BrandSettings(name="Academy", link_base="https://learn.example.org")
    office = Office(Duty(valkey, *HANDLERS, smtp=smtp, brand=brand, platform_address=platform))
    opened.append(office)
    office.duty.start()
    return office


@pytest.fixture
def office(valkey: EmbeddedServer, opened: list[Office], sink: Notary, platform: Address) -> Office:
    return open_office(valkey, opened, port=sink.port, platform=platform)


def parsed(envelope: Envelope) -> EmailMessage:
    content = envelope.original_content
    assert content is not None
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def parts(message: EmailMessage) -> tuple[str, str]:
    """Text and HTML."""
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


# Every mail arrives


@pytest.mark.parametrize(
    ("payload", "subject", "words"),
    [
        (CODE, "Your Academy verification code", ["Hello Ada", "471147"]),
        (RESET, "Reset your Academy password", ["https://learn.example.org/reset-password?token=tok%2Fen%2B980265"]),
        (WELCOME, "Welcome to Algebra from the ground up", ["Ada", "https://learn.example.org/courses/algebra"]),
        (RECEIPT, "Your receipt for Algebra from the ground up", ["49.90 EUR", "R-2041-0017"]),
    ],
    ids=["code", "reset", "welcome", "receipt"],
)
async def test_a_mail_arrives_with_both_its_parts(
    office: Office, sink: Notary, payload: Any, subject: str, words: list[str]
) -> None:
    job = await office.send(payload)

    assert job.state is JobState.COMPLETED, job.failure or job.attempts
    (envelope,) = sink.mails
    mail = parsed(envelope)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("desk@cabrank.example", ["ada@example.org"])
    assert (mail["To"], mail["Subject"]) == ("ada@example.org", subject)
    for part in parts(mail):
        assert all(word in part for word in words)
    assert job.result is not None
    assert message_id(job).encode() in job.result


def message_id(job: Job) -> str:
    return message_id_for(queue="email", job_id=job.id, domain="cabrank.example")


async def test_many_mails_share_a_few_connections(office: Office, sink: Notary) -> None:
    jobs = [office.order(CODE) for _ in range(60)]
    for job_id in jobs:
        assert (await office.when(job_id)).state is JobState.COMPLETED

    assert len(sink.mails) == 60
    assert sink.most_at_once <= 5, "the queue's concurrency"
    assert sink.connections < 30


# What the mail server says


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "content"])
async def test_a_mail_that_was_put_off_is_tried_again_under_one_id_with_rising_delays(
    office: Office, sink: Notary, step: str
) -> None:
    sink.always(step, "451 4.7.1 greylisted, try later")
    job_id = office.order(CODE, max_attempts=9, backoff=STEADY)
    await until(lambda: office.duty.job(job_id, "email").spent.failures == 3)
    sink.always(step, "250 2.0.0 now then" if step != "DATA" else "")

    job = await office.when(job_id)

    waits = [later.started_at - (sooner.ended_at or later.started_at) for sooner, later in pairwise(job.attempts)]
    assert job.state is JobState.COMPLETED
    assert len(waits) >= 3
    assert all(wait >= 50 * 2**n * timedelta(milliseconds=1) for n, wait in enumerate(waits))
    assert set(sink.shown) == {message_id(job)}
    assert len(sink.mails) == 1
    assert job.attempts[0].error is not None
    assert "451 4.7.1 greylisted" in job.attempts[0].error.message


async def test_a_mail_that_is_refused_fails_at_once(office: Office, sink: Notary) -> None:
    sink.always("RCPT", "550 5.1.1 no such user")

    job = await office.send(CODE)

    assert (job.state, len(job.attempts)) == (JobState.FAILED, 1)
    assert job.failure is not None
    assert job.failure.reason is FailureReason.PERMANENT
    assert "550 5.1.1 no such user" in job.failure.message


@pytest.mark.usefixtures("brief_snoozes")
async def test_a_mail_waits_for_a_server_that_cannot_be_reached_and_then_arrives_once(
    valkey: EmbeddedServer, opened: list[Office]
) -> None:
    port = free_port()
    office = open_office(valkey, opened, port=port)
    job_id = office.order(CODE, max_attempts=1)
    await until(lambda: office.duty.job(job_id, "email").spent.snoozes == 3)

    notary = Notary(port=port)
    async with notary.listening():
        job = await office.when(job_id)
        await office.stop()

    assert job.state is JobState.COMPLETED
    assert (job.spent.failures, len(notary.mails)) == (0, 1)
    snoozes = [attempt for attempt in job.attempts if attempt.outcome is AttemptOutcome.SNOOZED]
    assert len(snoozes) >= 3
    assert snoozes[0].error is not None
    assert "the SMTP server cannot be used now: connect" in snoozes[0].error.message


@pytest.mark.usefixtures("brief_snoozes")
@pytest.mark.parametrize(
    ("step", "answer"), [("connect", "421 4.3.2 closing"), ("EHLO", HANG_UP), ("MAIL", "421 4.3.2 closing")]
)
async def test_a_server_in_trouble_costs_a_mail_no_attempt(
    office: Office, sink: Notary, step: str, answer: str
) -> None:
    sink.always(step, answer)
    job_id = office.order(CODE, max_attempts=1)
    await until(lambda: office.duty.job(job_id, "email").spent.snoozes == 2)
    sink._answers.clear()

    job = await office.when(job_id)

    assert (job.state, job.spent.failures, len(sink.mails)) == (JobState.COMPLETED, 0, 1)


# What the platform says


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (tasks.Welcome(user_id="nobody", course_id="course-algebra"), "there is no user 'nobody'"),  # type: ignore[arg-type]
        (tasks.Welcome(user_id="user-ada", course_id="nothing"), "there is no course 'nothing'"),  # type: ignore[arg-type]
        (
            tasks.PaymentReceipt(user_id="user-ada", payment_id="none", course_id="course-algebra"),  # type: ignore[arg-type]
            "there is no payment 'none'",
        ),
    ],
)
async def test_a_record_that_does_not_exist_fails_the_job_for_good(office: Office, payload: Any, sentence: str) -> None:
    job = await office.send(payload)

    assert (job.state, len(job.attempts)) == (JobState.FAILED, 1)
    assert job.failure is not None
    assert (job.failure.reason, job.failure.message) == (FailureReason.PERMANENT, f"the platform says: {sentence}")


async def test_the_payment_of_somebody_else_is_not_confirmed(office: Office, sink: Notary) -> None:
    stolen = tasks.PaymentReceipt(user_id="user-emmy", payment_id="payment-1", course_id="course-algebra")  # type: ignore[arg-type]

    job = await office.send(stolen)

    assert job.failure is not None
    assert job.failure.message == "payment payment-1 is not one of user user-emmy for course course-algebra"
    assert sink.mails == []


def reason_of_first_snooze(job: Job) -> str:
    assert (job.state, job.spent.failures) == (JobState.DELAYED, 0)
    assert job.attempts[0].error is not None
    return job.attempts[0].error.message


async def test_a_payment_that_has_not_succeeded_is_waited_for(office: Office) -> None:
    open_payment = tasks.PaymentReceipt(user_id="user-sofya", payment_id="payment-3", course_id="course-conics")  # type: ignore[arg-type]

    job = await office.when(office.order(open_payment), JobState.DELAYED)

    assert reason_of_first_snooze(job) == "payment payment-3 has not succeeded yet"


async def test_a_platform_that_cannot_be_reached_costs_no_attempt(
    valkey: EmbeddedServer, opened: list[Office], sink: Notary
) -> None:
    nobody = Address(host="127.0.0.1", port=free_port())
    office = open_office(valkey, opened, port=sink.port, platform=nobody)

    job = await office.when(office.order(WELCOME), JobState.DELAYED)

    assert reason_of_first_snooze(job).startswith("the platform cannot be reached: ")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (CODE, "no SMTP server is configured: set SMTP_HOST"),
        (WELCOME, "no platform is configured: set CABRANK_PLATFORM_ADDRESS"),
    ],
)
async def test_what_is_not_configured_is_waited_for(
    valkey: EmbeddedServer, opened: list[Office], payload: Any, reason: str
) -> None:
    office = open_office(valkey, opened)

    job = await office.when(office.order(payload), JobState.DELAYED)

    assert reason_of_first_snooze(job) == reason


# Secrets


@pytest.mark.parametrize(("payload", "secret"), [(CODE, "471147"), (RESET, "980265")], ids=["code", "token"])
@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (None, JobState.COMPLETED),
        ("550 5.7.1 spam: 471147 and tok/en+980265 look suspicious", JobState.FAILED),
        ("451 4.7.1 greylisted: 471147 tok/en+980265", JobState.FAILED),
    ],
    ids=["taken", "refused", "put off"],
)
async def test_a_secret_is_in_no_log_and_gone_from_redis_when_the_job_is_over(
    office: Office,
    sink: Notary,
    valkey: EmbeddedServer,
    capfd: pytest.CaptureFixture[str],
    payload: Any,
    secret: str,
    answer: str | None,
    state: JobState,
) -> None:
    """Not even when the mail server repeats it."""
    logs.configure(level="debug", format="json")
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the mail server's, which is in this process too
    if answer:
        sink.always("content", answer)
    job_id = office.order(payload, max_attempts=2, backoff=STEADY)
    waiting = places_of(secret, valkey)

    job = await office.when(job_id)
    await office.stop()

    assert job.state is state
    assert waiting == {"secrets"}
    assert places_of(secret, valkey) == set()
    written = "".join(capfd.readouterr())
    assert f"email job {state}" in written
    assert secret not in written


def places_of(text: str, valkey: EmbeddedServer) -> set[str]:
    with raw_client(valkey) as raw:
        return keys_that_hold(raw, text)


# The connections


async def test_a_worker_that_ends_takes_leave_of_the_mail_server(office: Office, sink: Notary) -> None:
    await office.send(CODE)
    assert sink.open == 1

    await office.stop()

    assert (sink.open, sink.leave_taken) == (0, 1)


async def test_a_worker_that_takes_up_its_duty_again_opens_new_connections(office: Office, sink: Notary) -> None:
    await office.send(WELCOME)
    await office.stop()
    office.duty.start()

    job = await office.send(WELCOME)

    assert (job.state, sink.connections) == (JobState.COMPLETED, 2)


async def test_a_mail_server_that_says_nothing_does_not_hold_up_the_end(office: Office, sink: Notary) -> None:
    sink.always("content", "silence")
    job_id = office.order(CODE)
    await until(lambda: sink.at("content"))

    async with asyncio.timeout(10):
        await asyncio.to_thread(office.duty.stop, timeout_ms=50)

    job = office.duty.job(job_id, "email")
    assert (job.state, job.spent.failures) == (JobState.WAITING, 0)
