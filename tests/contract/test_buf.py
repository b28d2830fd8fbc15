"""The contract passes the tool that its users will run on it."""

import subprocess
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "check", [["lint", "protos"], ["format", "protos", "--diff", "--exit-code"]], ids=["lint", "format"]
)
def test_buf_has_nothing_to_say(buf: Callable[..., "subprocess.CompletedProcess[bytes]"], check: list[str]) -> None:
    verdict = buf(*check)

    assert (verdict.returncode, verdict.stdout + verdict.stderr) == (0, b"")
