"""What those who come from BullMQ are told of the paths."""

from __future__ import annotations

import asyncio
import json
import re

from cabrank.v1.error_pb2 import ErrorReason

from server.web.api.endpoints import ENDPOINTS
from server.web.api.reason import Reason
from tests.engine.hands import Worker
from tests.papers import blocks, rows, section
from tests.web.api.hands import fill
from tests.web.conftest import Site

PAPER = "docs/coming-from-bullmq.md"


def test_its_table_has_the_paths_that_are_served() -> None:
    told = [row.split("|")[1:3] for row in rows(section(PAPER, "7. Admin endpoints")) if "/api/" in row]

    assert {(path.strip(" `"), method.strip()) for path, method in told} == {
        (re.sub(r"\{(\w+)\}", r":\1", each.full_path), each.method) for each in ENDPOINTS
    }


def test_it_names_the_reasons_that_only_http_has() -> None:
    (told,) = re.findall(r"only HTTP has, (.*?)\. A field", section(PAPER, "7. Admin endpoints"), re.DOTALL)
    contract = {value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values}

    assert set(re.findall(r"[A-Z_]+", told)) == set(Reason) - contract


async def test_its_commands_answer(site: Site, worker: Worker) -> None:
    fill(worker)
    (block,) = blocks(section(PAPER, "6. Testing"), "sh")
    commands = block.text.replace("\\\n", "").replace("127.0.0.1:8080", site.host).splitlines()

    for command in commands:
        process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        assert json.loads(said)["success"] is True

    assert len(commands) == 3
