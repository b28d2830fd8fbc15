"""schemathesis against a real server on a real Valkey: the description holds for whatever it thinks up."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from server.web.api.endpoints import ENDPOINTS
from tests.engine.hands import Worker
from tests.web.api.hands import STATES, fill
from tests.web.conftest import Site

CONFIG = Path(__file__).with_name("schemathesis.toml")
# Names that exist, so that it meets more than 404.
NAMES = {"name": ["email", "sync"], "id": [*STATES, "secret"]}


async def test_schemathesis_finds_nothing(site: Site, worker: Worker, tmp_path: Path) -> None:
    fill(worker)
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(_with_names((await site.get("/api/openapi.json")).body)))

    with capture_logs() as log:
        code, said = await _run("run", str(described), "--url", f"http://{site.host}", "--checks", "all", cwd=tmp_path)

    assert code == 0, said
    answered = [(line["endpoint"], line["status"]) for line in log if line["event"] == "http"]
    assert {name for name, status in answered if status == 200} == {each.name for each in ENDPOINTS}
    assert {status for _, status in answered} - {415} == {200, 400, 404, 409}


async def _run(*arguments: str, cwd: Path) -> tuple[int | None, str]:
    """In a process and a folder of its own, where it leaves what it remembers."""
    command = (sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), *arguments, "--no-color")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def _with_names(described: dict[str, Any]) -> dict[str, Any]:
    for methods in described["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": NAMES[parameter["name"]]}
    return described
