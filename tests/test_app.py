"""`python -m server` as operators meet it: a process, its log, its signals and its two ports."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cabrank.v1.queue_pb2 import EnqueueRequest, WaitJobRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from server.dev.ports import free_port
from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.engine.store import Store
from tests.conftest import raw_client
from tests.engine.hands import Worker

ROOT = Path(__file__).parents[1]
QUEUES = {"email": 5, "sync": 2, "payment": 3, "enrollment": 3, "notification": 5, "cleanup": 1}
SECONDS = 20.0
# What the machine that runs the tests says about Redis, mail and the like must not get in.
ENVIRONMENT = {name: value for name, value in os.environ.items() if re.fullmatch(r"PATH|HOME|LANG|LC_\w+|TMPDIR", name)}


class Service:
    """One `python -m server`, on ports that are free."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.log: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(json.loads(line))

    def events(self) -> list[str]:
        return [line["event"] for line in list(self.log)]

    def wait_for(self, event: str) -> dict[str, Any]:
        """The line of the log, as soon as it is there."""
        until(lambda: event in self.events())
        return next(line for line in self.log if line["event"] == event)

    @contextmanager
    def stub(self) -> Iterator[QueueServiceStub]:
        with grpc.insecure_channel(self.wait_for("serving")["grpc"]) as channel:
            yield QueueServiceStub(channel)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.wait_for("serving")["http"], timeout=SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def exit_code(self) -> int:
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def environment(redis_url: str | None, **more: str) -> dict[str, str]:
    ours = {"GRPC_ADDRESS": "127.0.0.1:0", "HTTP_ADDRESS": "127.0.0.1:0", "LOG_FORMAT": "json"}
    return ENVIRONMENT | ours | ({"REDIS_URL": redis_url} if redis_url else {}) | more


@contextmanager
def started(redis_url: str, **more: str) -> Iterator[Service]:
    service = Service(environment(redis_url, **more))
    try:
        yield service
    finally:
        service.process.kill()
        service.exit_code()
        assert service.process.stderr
        service.process.stderr.close()


@pytest.fixture
def service(valkey: EmbeddedServer) -> Iterator[Service]:
    with started(valkey.url) as service:
        service.wait_for("serving")
        yield service


@pytest.fixture
def worker(valkey: EmbeddedServer) -> Iterator[Worker]:
    with Engine(Store.parse(valkey.url)) as engine:
        yield Worker(engine)


def welcome(job_id: str = "") -> EnqueueRequest:
    return EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}', job_id=job_id)


def refused_start(environment: dict[str, str]) -> str:
    """What it says when it will not start: with exit code 2, and no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "server"],
        check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_the_log_of_a_start_names_every_queue_and_its_concurrency(service: Service) -> None:
    """In the words that teams look for."""
    events = service.events()

    for queue, concurrency in QUEUES.items():
        assert f"queue created: {queue}" in events
        assert f"worker created: {queue} (concurrency: {concurrency})" in events
    assert "queue system initialized with 6 queues" in events


def test_other_teams_queues_are_served_as_well(valkey: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "their_tasks.py").write_text(
        "from server.catalog import Payload, Task\n"
        "class Course(Payload, frozen=True):\n"
        "    course_id: str\n"
        "TASK = Task(name='course.import', queue='course-import', payload=Course)\n"
    )
    theirs = {
        "CABRANK_TASK_MODULES": "their_tasks",
        "PYTHONPATH": str(tmp_path),
        "COURSE_IMPORT_QUEUE_CONCURRENCY": "7",
    }
    with started(valkey.url, **theirs) as service, service.stub() as stub:
        job = stub.Enqueue(EnqueueRequest(task="course.import", payload_json='{"course_id":"c1"}'), timeout=10).job

        assert job.queue == "course-import"
        assert "worker created: course-import (concurrency: 7)" in service.events()


def test_both_ports_answer(service: Service) -> None:
    with service.stub() as stub:
        assert stub.Enqueue(welcome(), timeout=10).created

    assert service.get("/healthz")[0] == service.get("/readyz")[0] == 200
    status, page = service.get("/metrics")
    assert status == 200
    assert 'cabrank_jobs{queue="email",state="waiting"} 1.0' in page
    assert 'cabrank_rpc_requests_total{code="OK",method="cabrank.v1.QueueService/Enqueue"} 1.0' in page


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(service: Service, number: signal.Signals) -> None:
    """With calls that wait, which are answered and not cut off."""
    with service.stub() as stub:
        stub.Enqueue(welcome("one"), timeout=10)
        waiting = stub.WaitJob.future(WaitJobRequest(queue="email", job_id="one"), timeout=60)
        until(lambda: "cabrank_redis_up" in service.get("/metrics")[1])
        service.process.send_signal(number)

        assert not waiting.result(SECONDS).done
    assert service.exit_code() == 0
    assert service.events()[-1] == "stopped"


def test_a_stop_under_load_loses_nothing_that_was_accepted(service: Service, worker: Worker) -> None:
    accepted: set[str] = set()
    codes: set[grpc.StatusCode] = set()

    def ask(caller: int) -> None:
        with service.stub() as stub:
            for n in itertools.count():
                try:
                    accepted.add(stub.Enqueue(welcome(f"{caller}-{n}"), timeout=10).job.id)
                except grpc.RpcError as error:
                    codes.add(error.code())
                    return

    callers = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for caller in callers:
        caller.start()
    until(lambda: len(accepted) >= 200)
    service.process.terminate()
    for caller in callers:
        caller.join(SECONDS)

    assert service.exit_code() == 0
    assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert accepted <= ids_of(worker)


def ids_of(worker: Worker) -> set[str]:
    taken: set[str] = set()
    while jobs := worker.take(1000):
        taken |= {job.request.id for job in jobs}
    return taken


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(service: Service, valkey: EmbeddedServer, number: signal.Signals) -> None:
    with service.stub() as stub:
        stub.Enqueue(welcome(), timeout=10)
        os.kill(valkey.pid, signal.SIGSTOP)  # a call that is under way, and stays so for a second
        try:
            hanging = stub.Enqueue.future(welcome(), timeout=60)
            with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
                stub.Enqueue(EnqueueRequest(), timeout=10)  # sent after it on one connection, so that one is there
            service.process.send_signal(number)
            service.wait_for("stopping")
            service.process.send_signal(number)

            assert service.exit_code() == -number
            assert hanging.exception(SECONDS)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)


def test_it_starts_without_redis_and_goes_on_when_redis_comes(tmp_path: Path) -> None:
    port = free_port()
    with started(f"redis://127.0.0.1:{port}") as service, service.stub() as stub:
        assert service.get("/healthz")[0] == 200
        assert service.get("/readyz") == (503, "the queue's storage cannot be reached\n")
        assert "cabrank_redis_up 0.0" in service.get("/metrics")[1]
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            stub.Enqueue(welcome(), timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began < 5
        assert service.wait_for("not ready")["why"] == "the queue's storage cannot be reached"

        with EmbeddedServer.start(tmp_path, port=port):
            service.wait_for("ready")
            assert service.get("/readyz")[0] == 200
            assert stub.Enqueue(welcome(), timeout=10).created


def test_the_log_says_once_why_redis_takes_no_job(valkey: EmbeddedServer) -> None:
    """Callers are told no more than that. For the operator a wrong password is not a wrong address."""
    with raw_client(valkey) as redis:
        redis.config_set("requirepass", "right")
        try:
            with started(valkey.url.replace("unix://", "unix://:hunter2@")) as service:
                told = service.wait_for("no job can be stored")
                for _ in range(3):
                    assert service.get("/readyz") == (503, "the queue's storage cannot be reached\n")

                assert "password" in told["cause"]
                assert "hunter2" not in json.dumps(service.log)
                assert service.events().count("no job can be stored") == 1
        finally:
            redis.config_set("requirepass", "")


@pytest.mark.parametrize("setting", ["GRPC_ADDRESS", "HTTP_ADDRESS"])
def test_a_taken_port_is_a_sentence_that_names_the_setting(valkey: EmbeddedServer, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused_start(environment(valkey.url, **{setting: address}))

    assert said == f"{setting}: nothing can listen at {address}: Address already in use.\n"


def test_without_a_redis_in_its_settings_it_refuses_to_start() -> None:
    assert "REDIS_URL" in refused_start(environment(None))
    assert "REDIS_URL" in refused_start(environment("redis://127.0.0.1:6379", REDIS_ENABLED="false"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"GRPC_ADDRESS": "nowhere"},
        {"EMAIL_QUEUE_CONCURRENCY": "many"},
        {"REDIS_URL": "redis://127.0.0.1:port"},
        {"REDIS_URL": "redis+sentinel://127.0.0.1:26379"},
        {"CABRANK_TASK_MODULES": "no.such.module"},
        {"CABRANK_DURABILITY": "fsync"},
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_it(wrong: dict[str, str]) -> None:
    (name,) = wrong

    assert name in refused_start(environment("redis://127.0.0.1:6379") | wrong)
