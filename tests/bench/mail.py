"""From nothing to a mail, as the README has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

from server.dev.ports import free_port
from tests.bench.figure import Figure
from tests.system.stack import ROOT, until

_CALL = '{"email":"ada@example.org","code":"123456","first_name":"Ada"}'
_GRPCURL = Path(sys.executable).with_name("grpcurl")


def mail_lands() -> Iterator[Figure]:
    """`make run`, one grpcurl, one mail."""
    with tempfile.TemporaryDirectory(prefix="cr-") as folder:
        ports = {
            name: f"127.0.0.1:{free_port()}"
            for name in ("GRPC_ADDRESS", "HTTP_ADDRESS", "CABRANK_DEV_SMTP_ADDRESS", "CABRANK_DEV_PLATFORM_ADDRESS")
        }
        began = time.monotonic()
        stack = subprocess.Popen(
            ["make", "run"], cwd=ROOT, env=os.environ | ports | {"CABRANK_DATA_DIR": folder}, stdout=subprocess.PIPE
        )
        assert stack.stdout is not None
        ready = next(line for line in stack.stdout if b"Ctrl-C" in line)
        took = time.monotonic() - began
        mails = Path(folder, "mail")
        before = set(mails.glob("*.eml"))
        answer = _grpcurl(ports["GRPC_ADDRESS"])
        answered = time.monotonic()
        until(lambda: len(set(mails.glob("*.eml")) - before) > 0, seconds=10, every=0.002)
        landed = time.monotonic() - answered
        (mail,) = set(mails.glob("*.eml")) - before
        message = message_from_bytes(mail.read_bytes(), policy=policy.default)
        parts = {part.get_content_type(): str(part.get_content()) for part in message.walk() if not part.is_multipart()}
        began = time.monotonic()
        stack.terminate()
        code = stack.wait(20)
        stopped = time.monotonic() - began
    whole = {"text/plain", "text/html"} == set(parts) and all("123456" in text for text in parts.values())
    yield Figure(
        claim="`make run`, installed, is ready in under 5 s and stops in under 3 s",
        measured=f"ready after {took:.1f} s ({ready.decode().strip()!r}), stopped after {stopped:.1f} s, exit {code}",
        holds=took < 5 and stopped < 3,
    )
    yield Figure(
        claim="one grpcurl call answers with a job, and the mail, both parts with the code, lands within 1 s",
        measured=f"job {answer['job']['id']}, landed {landed * 1000:.0f} ms after the answer, parts {sorted(parts)}",
        holds=whole and landed < 1,
    )


def _grpcurl(address: str) -> dict[str, dict[str, str]]:
    call = [str(_GRPCURL), "-plaintext", "-d", _CALL, address, "cabrank.v1.EmailService/SendVerificationCode"]
    answer: dict[str, dict[str, str]] = json.loads(subprocess.run(call, check=True, capture_output=True).stdout)
    return answer
