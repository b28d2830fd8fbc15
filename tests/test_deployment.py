"""The image and the compose file, as far as they can be tried without Docker: see also tests/dockerfile.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import cabrank
import grpc
import pytest
from cabrank.v1.email_pb2 import SendVerificationCodeRequest
from cabrank.v1.email_pb2_grpc import EmailServiceStub
from cabrank.v1.job_pb2 import JOB_STATE_COMPLETED
from cabrank.v1.queue_pb2 import WaitJobRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from dramatiq.cli import make_argument_parser
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from server.dev.tether import tethered
from server.dev.valkey import find_server
from server.engine.store import Store
from server.settings import Settings, every_setting
from server.settings.values import duration
from tests import dockerfile
from tests.dockerfile import ROOT
from tests.system.stack import Stack, until

Process = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")


@pytest.fixture(scope="module")
def last_stage() -> Mapping[str, dockerfile.Step]:
    return {step.word: step for step in dockerfile.stages()[-1]}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the image works in."""
    root = tmp_path_factory.mktemp("image")
    dockerfile.follow(root, run=False)
    return root / "srv" / "cabrank"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of locks/service.lock and the client, and no others."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "cabrank").symlink_to(Path(cabrank.__file__).parent)  # it is used in place
    for name in ("cabrank", *_locked_packages()):
        for part in {file.parts[0] for file in metadata.files(name) or ()} - {"..", "__pycache__"}:
            if not (folder / part).exists():
                (folder / part).symlink_to(str(metadata.distribution(name).locate_file(part)))
    return folder


@pytest.fixture
def start(image: Path, locked: Path) -> Iterator[Callable[..., Process]]:
    """Starts a command of the image where it would run, on the packages that it would have."""
    with ExitStack() as ends:

        def start(command: list[str], log: Path, **environment: str) -> Process:
            # -S: nothing of this environment's own site-packages.
            argv = [sys.executable, "-S", *_as_module(command)]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    tethered(argv),
                    cwd=image,
                    env={"PATH": os.environ["PATH"], "PYTHONPATH": str(locked), **environment},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            ends.callback(process.wait)
            ends.callback(process.kill)
            return process

        yield start


def test_the_image_holds_what_runs_and_nothing_else(image: Path) -> None:
    """No tests, nothing of `make run`, no stubs of the checkout: those in the image are made from the contract."""
    files = [path.relative_to(image) for path in image.rglob("*") if path.is_file()]

    assert {path.parts[0] for path in files} == {"server", "workers"}
    assert [path for path in files if path.parts[:2] == ("server", "dev") or "_pb2" in path.name] == []
    assert {path.suffix for path in files} <= {".py", ".lua", ".html", ".txt", ".md"}


def test_server_and_worker_run_on_the_image_alone_and_stop_when_told_to(
    start: Callable[..., Process], compose: Any, last_stage: Mapping[str, dockerfile.Step]
) -> None:
    """No package that only development has is needed to deliver a mail; both end with 0 at SIGTERM."""
    with Stack() as stack:
        stack.sink()
        told = {
            name: value
            for name, value in stack.environment.items()
            if name.startswith(("REDIS", "SMTP", "GRPC", "HTTP"))
        }
        server = start(last_stage["CMD"].exec_form(), stack.folder / "server.log", **told)
        health = last_stage["HEALTHCHECK"].exec_form()
        until(lambda: _exit_code(health, HTTP_ADDRESS=stack.http_address) == 0, seconds=30, every=0.1)
        workers = start(compose["services"]["workers"]["command"], stack.folder / "workers.log", **told)

        with grpc.insecure_channel(stack.grpc_address) as channel:
            request = SendVerificationCodeRequest(email="ada@example.org", code="123456", first_name="Ada")
            job = EmailServiceStub(channel).SendVerificationCode(request, timeout=10).job
            wait = WaitJobRequest(queue=job.queue, job_id=job.id)
            ended = QueueServiceStub(channel).WaitJob(wait, timeout=30).job

        assert ended.state == JOB_STATE_COMPLETED, stack.log("workers")
        assert len(stack.mails()) == 1
        for process in (workers, server):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        assert _exit_code(health, HTTP_ADDRESS=stack.http_address) != 0


def test_every_variable_is_a_setting(compose: Any, last_stage: Mapping[str, dockerfile.Step]) -> None:
    known = {setting.name for setting in every_setting()}
    known |= {f"{setting.name}_FILE" for setting in every_setting() if setting.secret}
    pythons = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}

    given = {word.partition("=")[0] for word in last_stage["ENV"].words()} - pythons
    for name in ("server", "workers"):
        given |= set(compose["services"][name]["environment"])

    assert given - known == set()


def test_the_workers_have_a_thread_for_every_job_that_may_run_at_once(compose: Any) -> None:
    arguments = _workers_arguments(compose)

    assert (arguments.broker, arguments.processes) == ("workers", 1)
    assert arguments.threads >= sum(queue.concurrency for queue in Settings().queues.values())


def test_docker_waits_longer_than_the_programs_take_to_stop(compose: Any) -> None:
    services, settling = compose["services"], timedelta(seconds=10)  # for what workers.shift has to say at its end
    running = timedelta(milliseconds=_workers_arguments(compose).worker_shutdown_timeout)

    assert duration(services["workers"]["stop_grace_period"]) >= running + settling
    assert duration(services["server"]["stop_grace_period"]) > Settings().shutdown_grace


def test_redis_keeps_jobs_on_disk_and_evicts_none(compose: Any, tmp_path: Path) -> None:
    """The options are those of a real server."""
    _, *options = compose["services"]["redis"]["command"]
    socket = tmp_path / "s"
    argv = [str(find_server()), *options, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    process = subprocess.Popen(tethered(argv), stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until(socket.exists)
        with Store.parse(f"unix://{socket}").connect(timeout=5) as client:
            told = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    finally:
        process.kill()
        process.wait()

    assert told == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


def test_the_image_bears_the_version_of_the_service(compose: Any) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert {compose["services"][name]["image"] for name in ("server", "workers")} == {f"cabrank:{version}"}


def test_ci_runs_the_commands_that_the_readme_names() -> None:
    commands = re.findall(r"^make \w+", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)

    assert commands == ["make check", "make test"]
    assert all(f"\n{command} " in (ROOT / "README.md").read_text() for command in commands)


def _locked_packages() -> Iterator[str]:
    """The names in locks/service.lock that this Python needs, each installed in the very version."""
    for line in re.findall(r"^\S+==[^\\]+", (ROOT / "locks" / "service.lock").read_text(), re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            assert metadata.version(requirement.name) in requirement.specifier, f"{requirement}: run `make lock`"
            yield requirement.name


def _as_module(command: list[str]) -> list[str]:
    """What follows `python`, also where the image has a script of its own for it."""
    program, *arguments = command
    return arguments if program == "python" else ["-m", program, *arguments]


def _exit_code(command: list[str], **environment: str) -> int:
    program = [sys.executable, *_as_module(command)]
    return subprocess.run(program, env=os.environ | environment, stderr=subprocess.DEVNULL, check=False).returncode


def _workers_arguments(compose: Any) -> Any:
    program, *arguments = compose["services"]["workers"]["command"]
    assert program == "dramatiq"
    return make_argument_parser().parse_args(arguments)  # type: ignore[no-untyped-call]
