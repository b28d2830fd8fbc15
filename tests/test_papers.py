"""The papers say what is: their commands are run, their output, tables and excerpts compared."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from cabrank.platform.v1 import platform_pb2
from cabrank.v1 import admin_pb2, email_pb2
from cabrank.v1.admin_pb2_grpc import AdminServiceStub
from cabrank.v1.email_pb2_grpc import EmailServiceStub
from cabrank.v1.job_pb2 import FAILURE_REASON_PERMANENT, JOB_STATE_COMPLETED, JOB_STATE_FAILED, Job
from cabrank.v1.queue_pb2 import EnqueueRequest, WaitJobRequest, WatchJobsRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from google.protobuf import json_format, message_factory

from server.dev.mails import MailFolder
from server.dev.tether import tethered
from server.metrics import every_series
from server.settings import Setting, every_setting
from tests.conftest import raw_client
from tests.papers import PAPERS, ROOT, blocks, rows, section, text_of, without_blocks
from tests.system.stack import Stack, until

_GRPCURL = Path(sys.executable).with_name("grpcurl")
_CONTRACT = admin_pb2.DESCRIPTOR.pool
_ANY_PORT = ("GRPC_ADDRESS", "HTTP_ADDRESS", "CABRANK_DEV_SMTP_ADDRESS", "CABRANK_DEV_PLATFORM_ADDRESS")

needs_grpcurl = pytest.mark.skipif(not _GRPCURL.exists(), reason="there is no grpcurl for this machine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tour:
    """`make run` as the README has it, with its example task and its own mails, on other ports."""

    folder: Path
    said: Path  # what it printed

    @property
    def grpc_address(self) -> str:
        return self._told("gRPC")

    @property
    def http_address(self) -> str:
        return self._told("HTTP").removeprefix("http://").removesuffix("/metrics")

    def shell(self, command: str) -> str:
        """What a command of the papers prints here."""
        done = subprocess.run(
            ["sh", "-c", self._here(command)],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, command: str) -> Iterator[Path]:
        """A command of the papers that ends only when it is stopped, and where it prints to."""
        output = self.folder / "output"
        with output.open("wb") as told:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {self._here(command)}"], env=self._environment, stdout=told, stderr=told
            )
        try:
            yield output
        finally:
            process.kill()
            process.wait()

    def enqueued(self, user_id: str, *, delay: timedelta = timedelta(0)) -> Job:
        """A welcome, which asks the platform for the user."""
        payload = json.dumps({"user_id": user_id, "course_id": "course-algebra"})
        request = EnqueueRequest(task="email.welcome", payload_json=payload)
        request.delay.FromTimedelta(delay)
        with grpc.insecure_channel(self.grpc_address) as channel:
            return QueueServiceStub(channel).Enqueue(request, timeout=10).job

    def failed(self) -> Job:
        job = self.enqueued("user-nobody")
        return self.ended(job.queue, job.id)

    def ended(self, queue: str, job_id: str) -> Job:
        with grpc.insecure_channel(self.grpc_address) as channel:
            wait = WaitJobRequest(queue=queue, job_id=job_id)
            return QueueServiceStub(channel).WaitJob(wait, timeout=30).job

    def log_lines(self, program: str) -> list[dict[str, object]]:
        lines = (line.strip() for line in self.said.read_text().splitlines())
        return [json.loads(line.removeprefix(f"{program} | ")) for line in lines if line.startswith(f"{program} | {{")]

    def _here(self, command: str) -> str:
        return command.replace("127.0.0.1:50051", self.grpc_address).replace("127.0.0.1:8080", self.http_address)

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"PATH": f"{_GRPCURL.parent}:{os.environ['PATH']}"}

    def _told(self, name: str) -> str:
        told = re.search(rf"^ +{name} +(\S+)", self.said.read_text(), re.MULTILINE)
        assert told
        return told[1]


@pytest.fixture(scope="module")
def tour() -> Iterator[Tour]:
    with tempfile.TemporaryDirectory(prefix="cr-") as name:  # short, for a socket lies in it
        folder = Path(name)
        (task,) = blocks(section("README.md", "Your own tasks"), "python")
        (folder / "certificates.py").write_text(task.text)
        *preparation, mails = _only_block("README.md", "Your own mails", "sh").splitlines()
        subprocess.run(["sh", "-ec", "\n".join(preparation)], cwd=folder, check=True)
        start, _ = blocks(section("README.md", "Your own tasks"), "sh")
        tour = Tour(folder=folder, said=folder / "said")
        environment = _assigned(start.text) | _assigned(mails) | dict.fromkeys(_ANY_PORT, "127.0.0.1:0")
        environment |= {"PYTHONPATH": f"{ROOT}:{folder}", "LOG_FORMAT": "json"}
        environment |= {"CABRANK_BULLMQ_METRICS": "true"}
        with tour.said.open("wb") as said:
            process = subprocess.Popen(
                tethered([sys.executable, "-m", "server.dev"]),
                cwd=folder,
                env=os.environ | environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            until(lambda: "Ctrl-C" in tour.said.read_text() or process.poll() is not None, seconds=60)
            assert process.poll() is None, tour.said.read_text()
            yield tour
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def test_the_readme_shows_what_make_run_prints(tour: Tour) -> None:
    _, shown, *_ = blocks(section("README.md", "Try it"))
    said = tour.said.read_text()
    greeting = said[said.index("  cabrank is ready") :].partition("stops everything.\n")

    assert _steady(greeting[0] + greeting[1]) == _steady(shown.text)


@needs_grpcurl
def test_the_calls_of_the_readme_answer_as_it_shows(tour: Tour) -> None:
    _, _, send, answer, wait, state = blocks(section("README.md", "Try it"))

    answered = tour.shell(send.text)
    job_id = json.loads(answered)["job"]["id"]
    (shown_id,) = re.findall(r'"job_id":"(\w+)"', wait.text)

    assert _steady(answered) == _steady(answer.text)
    assert tour.shell(wait.text.replace(shown_id, job_id)) == state.text


@pytest.mark.parametrize(("paper", "title"), [("README.md", "Clients"), ("clients/python/README.md", "Sending a mail")])
def test_the_python_client_works_as_the_papers_show(tour: Tour, paper: str, title: str) -> None:
    """The second time it is the same registration, so there is no second mail."""
    program = _only_block(paper, title, "python").replace("127.0.0.1:50051", tour.grpc_address)

    first, second = (subprocess.check_output([sys.executable, "-c", program], text=True).split() for _ in range(2))

    assert first[0] == second[0]
    assert second[1] in ("False", "known")
    assert tour.ended("email", first[0]).state == JOB_STATE_COMPLETED


@needs_grpcurl
def test_a_task_of_ones_own_runs_as_the_readme_shows(tour: Tour) -> None:
    _, enqueue = blocks(section("README.md", "Your own tasks"), "sh")

    job = json.loads(tour.shell(enqueue.text))["job"]
    ended = tour.ended(job["queue"], job["id"])

    assert (ended.state, ended.result_json) == (JOB_STATE_COMPLETED, '{"file":"user-ada-course-algebra.pdf"}')
    assert ended.progress.percent == 50


def test_a_mail_of_ones_own_is_sent_as_the_readme_shows(tour: Tour) -> None:
    (mail, *_) = MailFolder(path=tour.folder / ".cabrank" / "mail").mails()

    assert (
        message_from_bytes(mail.read_bytes(), policy=policy.default)["Subject"] == "Ahoj Ada, your code for Algebrary"
    )


def test_every_series_is_in_the_reference(tour: Tour) -> None:
    with urlopen(f"http://{tour.http_address}/metrics", timeout=10) as answer:
        told = re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.MULTILINE)

    assert {row.split("`")[1] for row in rows(text_of("docs/reference/metrics.md"))} == set(told)


@needs_grpcurl
@pytest.mark.parametrize(
    ("paper", "title"),
    [
        ("README.md", "Seeing and steering"),
        ("docs/operations.md", "Seeing"),
        ("docs/operations.md", "Pausing"),
        ("docs/operations.md", "Retrying"),
        ("docs/operations.md", "Cleaning and purging"),
        ("docs/operations.md", "Changing limits"),
    ],
)
def test_queues_are_seen_and_steered_as_the_papers_show(tour: Tour, paper: str, title: str) -> None:
    assert all(_steered(tour, paper, title))


@needs_grpcurl
def test_the_mail_that_the_readme_lets_fail_fails_for_good(tour: Tour) -> None:
    command = next(
        command for command in _commands("README.md", "Seeing and steering") if "SendWelcomeEmail" in command
    )

    job = json.loads(tour.shell(command))["job"]
    ended = tour.ended(job["queue"], job["id"])

    assert (ended.state, ended.failure.reason) == (JOB_STATE_FAILED, FAILURE_REASON_PERMANENT)


@needs_grpcurl
def test_what_operators_did_is_one_line_with_the_fields_that_the_papers_name(tour: Tour) -> None:
    told = [row.split("|")[1:-1] for row in rows(section("docs/operations.md", "Logs"))]
    promised = {
        event: set(re.findall(r"\w+", fields))
        for events, fields in (cells for cells in told if len(cells) == 2)  # the other table has levels
        for event in re.findall(r"`(.+?)`", events)
    }

    for title in ("Pausing", "Retrying", "Cleaning and purging", "Changing limits"):
        _steered(tour, "docs/operations.md", title)
    job = tour.enqueued("user-ada", delay=timedelta(days=1))
    with grpc.insecure_channel(tour.grpc_address) as channel:
        operators = AdminServiceStub(channel)
        operators.PromoteJob(admin_pb2.PromoteJobRequest(queue=job.queue, job_id=job.id), timeout=10)
        operators.PurgeQueue(admin_pb2.PurgeQueueRequest(queue=job.queue), timeout=10)
    until(lambda: "queue purged" in tour.said.read_text())
    lines = {str(line["event"]): line for line in tour.log_lines("server") if "server.admin" in str(line["logger"])}

    usual = {"timestamp", "level", "logger", "event"}
    assert {event: set(line) - usual for event, line in lines.items()} == promised
    assert {line["level"] for line in lines.values()} == {"info"}


@needs_grpcurl
def test_a_watcher_is_told_as_the_papers_show(tour: Tour) -> None:
    (command,) = _commands("docs/operations.md", "Watching")

    with tour.running(command) as told:
        until(lambda: "cursor" in told.read_text())
        job = tour.failed()
        until(lambda: job.id in told.read_text())


@pytest.mark.parametrize("paper", ["README.md", "docs/operations.md"])
def test_the_paths_for_operators_answer_as_the_papers_show(tour: Tour, paper: str) -> None:
    commands = re.findall(r"^curl .*/api/.*$", text_of(paper), re.MULTILINE)

    answers = [json.loads(tour.shell(command)) for command in commands]
    tour.shell("curl -s -X POST http://127.0.0.1:8080/api/admin/queues/email/resume")

    assert [answer["message"] for answer in answers if not answer["success"]] == []


def test_a_finished_mail_is_one_line_with_the_fields_that_the_papers_name(tour: Tour) -> None:
    (row,) = (row for row in rows(section("docs/operations.md", "Logs")) if "`email job completed`" in row)
    event, level, *fields = re.findall(r"\w+(?: \w+)*", row)

    line = next(line for line in tour.log_lines("workers") if line["event"] == event)

    assert list(line) == ["timestamp", "level", "logger", "event", *fields]
    assert line["level"] == level


def test_the_start_says_what_those_who_come_from_bullmq_look_for(tour: Tour) -> None:
    promised = _only_block("docs/coming-from-bullmq.md", "6. Testing", "text").splitlines()
    said = {str(line["event"]) for program in ("server", "workers") for line in tour.log_lines(program)}

    # The tour has a task of its own, and so a queue more.
    assert {line.replace("6 queues", "7 queues") for line in promised} <= said


def test_a_wrong_setting_is_refused_as_the_papers_show() -> None:
    command, refusal = blocks(section("docs/operations.md", "Starting"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["sh", "-c", command.text],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (2, refusal.text)


def test_the_redis_user_of_the_papers_may_do_all_that_is_needed() -> None:
    """One mail all the way, somebody who watches it, a scrape, and the sweeps that every second brings."""
    with Stack() as stack, raw_client(stack.redis) as client:
        client.execute_command(*_redis_user())
        stack.environment["REDIS_URL"] = stack.redis.url.replace("://", "://cabrank:PASSWORD@")
        stack.sink()
        stack.server()
        stack.workers()

        watch = QueueServiceStub(stack.channel()).WatchJobs(WatchJobsRequest(queue="email"), timeout=30)
        next(watch)
        job = _send_mail(stack.channel())
        first = client.hget("cabrank:{email}:meta", "swept")
        until(lambda: client.hget("cabrank:{email}:meta", "swept") != first)
        with urlopen(f"http://{stack.http_address}/metrics", timeout=10) as answer:
            metrics = answer.read()

        assert job.state == JOB_STATE_COMPLETED
        assert next(watch).changes
        assert b"\ncabrank_redis_memory_bytes " in metrics
        assert "NOPERM" not in stack.log("")


def test_the_redis_user_of_the_papers_may_run_every_script() -> None:
    scripts = "".join(path.read_text() for path in ROOT.glob("server/engine/lua/**/*.lua"))
    called = {f"+{command.lower()}" for command in re.findall(r"redis\.call\('(\w+)'", scripts)}

    assert called - set(_redis_user()) == set()


@pytest.mark.parametrize("paper", PAPERS, ids=str)
def test_every_link_leads_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", without_blocks(text_of(paper))):
        path, _, anchor = target.partition("#")
        file = (ROOT / paper.parent / path).resolve() if path else ROOT / paper
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file.read_text()), target


def test_a_setting_that_the_readme_shows_is_as_it_is() -> None:
    """And they stand in the order of the reference, which has all."""
    shown = rows(section("README.md", "Settings"))

    assert [row for row in map(_row, every_setting()) if row in shown] == shown


@pytest.mark.parametrize("paper", PAPERS, ids=str)
def test_every_call_with_grpcurl_is_one_that_the_contract_knows(paper: Path) -> None:
    """The services, the rpc and every field of the request."""
    text = text_of(paper)
    calls = re.findall(r"grpcurl .*?(?:-d '(.*)' )?127\.0\.0\.1:50051 ([\w.]+)/(\w+)", text)

    for data, service, rpc in calls:
        request = re.sub(r"'\$\(date .*?\)'", "2030-01-01T00:00:00Z", data)
        asked = _CONTRACT.FindServiceByName(service).methods_by_name[rpc].input_type
        json_format.Parse(request or "{}", message_factory.GetMessageClass(asked)())
    assert len(calls) == text.count("grpcurl -plaintext")


@pytest.mark.parametrize("paper", PAPERS, ids=str)
def test_every_query_names_series_that_there_are(paper: Path) -> None:
    queries = "".join(block.text for block in blocks(text_of(paper), "promql"))
    parts = ("", "_bucket", "_sum", "_count")

    assert set(re.findall(r"cabrank_\w+", queries)) <= {
        series.name + part for series in every_series() for part in parts
    }


def test_the_house_is_as_it_is_drawn() -> None:
    folders = re.findall(r"^\| (?:`([\w/]+)/`)(?:, `([\w/]+)/`)?", section("README.md", "The house"), re.MULTILINE)
    named = {folder for pair in folders for folder in pair if folder}

    assert {folder for folder in named if not (ROOT / folder).is_dir()} == set()
    assert {path.parent.name for path in ROOT.glob("server/*/__init__.py")} <= {Path(folder).name for folder in named}


@pytest.mark.parametrize("paper", PAPERS, ids=str)
def test_every_make_target_that_is_named_exists(paper: Path) -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE)

    assert set(re.findall(r"(?:`|^|\$ )make (\w+)", text_of(paper), re.MULTILINE)) <= set(phony.split())


@pytest.mark.parametrize(
    ("file", "excerpt"),
    [
        (named[-1], block.text)
        for block in blocks(text_of("CONTRIBUTING.md"))
        if (named := re.findall(r"`([\w/]+\.\w+)`:$", block.lead))
    ],
)
def test_an_excerpt_is_what_the_file_says(file: str, excerpt: str) -> None:
    """Where it leaves something out it says so, by a line with `…`."""
    rest = text_of(file)
    for part in filter(None, excerpt.split("…\n")):
        _, found, rest = rest.partition(part)
        assert found == part, f"not in {file}, or not at this place:\n{part}"


def test_the_module_for_node_speaks_the_contract() -> None:
    program = "".join(block.text for block in blocks(text_of("docs/coming-from-bullmq.md"), "js"))
    email = email_pb2.DESCRIPTOR.services_by_name["EmailService"]
    platform = platform_pb2.DESCRIPTOR.services_by_name["PlatformService"]

    sent = re.findall(r"send\('(\w+)', \{ (.*?) \}\)", program)
    assert {name: {field.partition(":")[0] for field in fields.split(", ")} for name, fields in sent} == {
        method.name: {field.name for field in method.input_type.fields} - {"idempotency_key"}
        for method in email.methods
    }
    assert set(re.findall(r"(Get\w+): answer", program)) == {method.name for method in platform.methods}


def _steady(text: str) -> str:
    """Without what differs from one run to the next."""
    for pattern, steady in (
        (r"\b[0-9a-v]{24}\b", "ID"),
        (r"\d{4}-?\d\d-?\d\dT\d\d:?\d\d:?\d\d[.\d]*Z(-\w{6})?", "TIME"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"after \d+\.\d s", "after S s"),
    ):
        text = re.sub(pattern, steady, text)
    return text


def _assigned(command: str) -> dict[str, str]:
    """The variables that are set in front of a command."""
    return dict(re.findall(r"(\w+)=(\S+)", command))


def _only_block(paper: str, title: str, language: str) -> str:
    (block,) = blocks(section(paper, title), language)
    return block.text


def _commands(paper: str, title: str) -> list[str]:
    return [line for block in blocks(section(paper, title), "sh") for line in block.text.splitlines()]


def _steered(tour: Tour, paper: str, title: str) -> list[str]:
    """What the commands print. JOB_ID is a job that starts tomorrow, or where one is retried, one that has failed."""
    commands = _commands(paper, title)
    retries = any("RetryJob" in command for command in commands)
    job = tour.failed() if retries else tour.enqueued("user-ada", delay=timedelta(days=1))
    return [tour.shell(command.replace("JOB_ID", job.id)) for command in commands]


def _row(setting: Setting[object]) -> str:
    default = f"`{setting.default}`" if setting.default else ""
    return f"| `{setting.name}` | {default} | {setting.says} |"


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _redis_user() -> list[str]:
    """The command that makes it."""
    *_, command = blocks(section("docs/operations.md", "Redis"), "text")
    return command.text.split()


def _send_mail(channel: grpc.Channel) -> Job:
    """The job when it has ended."""
    request = email_pb2.SendVerificationCodeRequest(email="ada@example.org", code="123456", first_name="Ada")
    sent = EmailServiceStub(channel).SendVerificationCode(request, timeout=10).job
    return QueueServiceStub(channel).WaitJob(WaitJobRequest(queue=sent.queue, job_id=sent.id), timeout=30).job
