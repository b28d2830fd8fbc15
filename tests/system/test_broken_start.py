"""What an operator got wrong stops the workers with a sentence, before any job could fail of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.stack import ROOT


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("CABRANK_TEMPLATE_DIR", "{folder}", "welcome.txt, line 1 is broken"),
        ("SMTP_FROM", "Ada <a..b@example.org>", "SMTP_FROM"),
        ("CABRANK_TASK_MODULES", "no_such_module", "CABRANK_TASK_MODULES: no_such_module cannot be imported"),
    ],
    ids=["a template that does not compile", "a sender that is no address", "a module that is not there"],
)
def test_workers_refuse_to_start(tmp_path: Path, setting: str, value: str, sentence: str) -> None:
    (tmp_path / "welcome.txt").write_text("Hello {{ first_name")

    ended = subprocess.run(
        [sys.executable, "-m", "dramatiq", "workers", "-p", "1", "-t", "1", "--skip-logging"],
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": "unix:///nowhere", setting: value.format(folder=tmp_path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
