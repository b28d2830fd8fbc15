"""`make run`: the whole service on a machine that has nothing but Python, pip and make."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from server.dev.ports import free_port
from tests.dev.survivors import MARK, eventually, survivors
from tests.system.stack import ROOT, until

GRPCURL = Path(sys.executable).with_name("grpcurl")
ADA = '{"email":"ada@example.org","code":"739154","first_name":"Ada"}'

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and PyPI's grpcurl is for Linux")


class Run:
    """One `make run`, ready."""

    def __init__(self, folder: Path) -> None:
        self.grpc = f"127.0.0.1:{free_port()}"
        self.http = f"127.0.0.1:{free_port()}"
        self.folder = folder
        self.mark = secrets.token_hex(8)
        own = {
            MARK: self.mark,
            "GRPC_ADDRESS": self.grpc,
            "HTTP_ADDRESS": self.http,
            "CABRANK_DATA_DIR": str(folder),
            "CABRANK_DEV_SMTP_ADDRESS": "127.0.0.1:0",
            "CABRANK_DEV_PLATFORM_ADDRESS": "127.0.0.1:0",
        }
        self.log = folder.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run"], cwd=ROOT, env=os.environ | own, stdout=log, stderr=log, start_new_session=True
            )
        until(self._greeted, seconds=60)

    def grpcurl(self, body: str, method: str) -> dict[str, object]:
        call = [str(GRPCURL), "-plaintext", "-d", body, self.grpc, method]
        answer: dict[str, object] = json.loads(subprocess.run(call, check=True, capture_output=True).stdout)
        return answer

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as answer:
            body: bytes = answer.read()
        return body.decode()

    def mails(self) -> list[Path]:
        return sorted((self.folder / "mail").glob("*.eml"))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def _greeted(self) -> bool:
        if self.process.poll() is not None:
            raise ChildProcessError(self.log.read_text())
        return "Ctrl-C stops everything" in self.log.read_text()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path / "data")
    yield started
    started.end(signal.SIGKILL)
    assert eventually(lambda: not survivors(started.mark)), survivors(started.mark)


@linux
def test_a_mail_sent_with_grpcurl_lands_with_both_parts(run: Run) -> None:
    before = run.mails()

    answer = run.grpcurl(ADA, "cabrank.v1.EmailService/SendVerificationCode")

    job = answer["job"]
    assert isinstance(job, dict)
    waited = run.grpcurl(json.dumps({"queue": "email", "job_id": job["id"]}), "cabrank.v1.QueueService/WaitJob")
    assert waited["done"] is True
    (mail,) = [mail for mail in run.mails() if mail not in before]
    message = message_from_bytes(mail.read_bytes(), policy=policy.default)
    parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
    assert set(parts) == {"text/plain", "text/html"}
    assert all("739154" in text for text in parts.values())


@linux
def test_the_code_is_shown_to_nobody_but_the_reader(run: Run) -> None:
    answer = run.grpcurl(ADA, "cabrank.v1.EmailService/SendVerificationCode")
    job = answer["job"]
    assert isinstance(job, dict)
    waited = run.grpcurl(json.dumps({"queue": "email", "job_id": job["id"]}), "cabrank.v1.QueueService/WaitJob")

    assert "739154" not in json.dumps(waited)
    assert "739154" not in run.log.read_text()
    assert "739154" not in run.get("/metrics")


@linux
def test_the_sample_mail_is_on_record(run: Run) -> None:
    """Health answers, and the scrape counts what the start of the stack did."""
    assert len(run.mails()) == 1
    assert run.get("/healthz")
    assert run.get("/readyz")
    assert 'cabrank_jobs{queue="email",state="completed"} 1.0' in run.get("/metrics")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path / "data")

    # What a terminal does on Ctrl-C: every process of the foreground is told.
    os.killpg(run.process.pid, number)
    run.process.wait(20)

    assert eventually(lambda: not survivors(run.mark))


@linux
def test_what_was_accepted_survives_the_stack(tmp_path: Path) -> None:
    """The data folder is kept: a job that was enqueued before a stop is there after the next start."""
    first = Run(tmp_path / "data")
    request = {"task": "email.verification_code", "delay": "3600s", "payload": json.loads(ADA)}
    answer = first.grpcurl(json.dumps(request), "cabrank.v1.QueueService/Enqueue")
    job = answer["job"]
    assert isinstance(job, dict)
    first.end(signal.SIGTERM)
    assert eventually(lambda: not survivors(first.mark))

    second = Run(tmp_path / "data")

    found = second.grpcurl(json.dumps({"queue": "email", "job_id": job["id"]}), "cabrank.v1.QueueService/GetJob")
    second.end(signal.SIGTERM)
    assert eventually(lambda: not survivors(second.mark))
    assert isinstance(found["job"], dict)
    assert found["job"]["state"] == "JOB_STATE_DELAYED"
