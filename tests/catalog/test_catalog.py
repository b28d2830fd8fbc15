"""Which queues and tasks there are, those of other teams included."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from server.catalog import Catalog, InvalidCatalog, InvalidPayload, Payload, QueueNotFound, Task, TaskNotFound
from server.settings import Settings

SHOP = '''
"""Tasks of another team, in a package of its own."""

from datetime import timedelta

from server.catalog import EmailAddress, JobContext, Payload, Task, handler


class Invoice(Payload, frozen=True):
    email: EmailAddress
    cents: int


SEND_INVOICE = Task(
    name="shop.send_invoice", queue="shop-mails", payload=Invoice, max_attempts=2, timeout=timedelta(seconds=30)
)


@handler(SEND_INVOICE)
async def send_invoice(payload: Invoice, job: JobContext) -> str:
    return f"{payload.cents} to {payload.email} in attempt {job.attempt}"
'''

Written = Callable[[str, str], str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Writes a module where Python finds it, as if another team's package were installed."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_catalog_begins_with_six_queues_and_the_mails() -> None:
    catalog = Catalog.load()

    assert catalog.queues == ("email", "sync", "payment", "enrollment", "notification", "cleanup")
    assert all(name.startswith("email.") for name in catalog.tasks)
    assert catalog.handlers == {}


def test_the_built_in_queues_are_those_that_have_settings() -> None:
    """Settings and catalog do not know each other, so each lists them."""
    assert Catalog.load().queues == tuple(Settings().queues)


def test_another_teams_module_brings_its_tasks_queue_and_handler(written: Written) -> None:
    written("shop_tasks", SHOP)
    settings = Settings.from_environment({"CABRANK_TASK_MODULES": "shop_tasks"})

    catalog = Catalog.load(settings.task_modules)

    task = catalog.task("shop.send_invoice")
    assert catalog.queue(task.queue) == "shop-mails"
    assert settings.queue(task.queue).concurrency == 5
    assert (task.max_attempts, task.timeout) == (2, timedelta(seconds=30))
    assert catalog.handlers[task.name].is_async
    assert task.decode(b'{"email":"ada@example.org","cents":250}').cents == 250
    with pytest.raises(InvalidPayload, match=r"payload\.cents must be `int`, not `str`"):
        task.check(b'{"email":"ada@example.org","cents":"250"}')


def test_a_task_may_be_imported_by_a_second_module(written: Written) -> None:
    written("shop_tasks", SHOP)
    written("shop_more", "from shop_tasks import SEND_INVOICE, send_invoice")

    catalog = Catalog.load(["shop_tasks", "shop_more", "shop_tasks"])

    assert "shop.send_invoice" in catalog.tasks


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (SHOP, "task shop.send_invoice"),
        (
            "from shop_tasks import SEND_INVOICE\nfrom server.catalog import handler\n"
            "@handler(SEND_INVOICE)\ndef other(payload, job): ...",
            "the handler of task shop.send_invoice",
        ),
    ],
)
def test_two_modules_cannot_declare_the_same(written: Written, second: str, what: str) -> None:
    written("shop_tasks", SHOP)
    written("shop_again", second)

    with pytest.raises(InvalidCatalog) as refused:
        Catalog.load(["shop_tasks", "shop_again"])

    assert str(refused.value) == f"{what} is declared twice, in shop_tasks and in shop_again"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax"),
        (SHOP.replace("shop.send_invoice", "Shop!"), "InvalidCatalog: task 'Shop!' must have a name such as"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_cause(written: Written, source: str, why: str) -> None:
    module = written("broken_tasks", source)

    with pytest.raises(InvalidCatalog) as refused:
        Catalog.load([module])

    assert str(refused.value).startswith(f"CABRANK_TASK_MODULES: broken_tasks cannot be imported: {why}")


def test_a_missing_module_is_named() -> None:
    with pytest.raises(InvalidCatalog, match=r"CABRANK_TASK_MODULES: no\.such cannot be imported"):
        Catalog.load(["no.such"])


def test_an_unknown_task_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(TaskNotFound) as refused:
        Catalog.load().task("email.verificaton_code")

    assert refused.value.nearest[0] == "email.verification_code"
    assert str(refused.value).startswith(
        "there is no task 'email.verificaton_code'; did you mean email.verification_code"
    )


def test_an_unknown_queue_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(QueueNotFound) as refused:
        Catalog.load().queue("emails")

    assert str(refused.value) == "there is no queue 'emails'; did you mean email?"


def test_a_refused_name_is_short_and_on_one_line() -> None:
    with pytest.raises(TaskNotFound) as refused:
        Catalog.load().task("x\n\x1b[31m" * 10_000)

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


def test_a_configured_queue_exists_even_when_no_task_waits_in_it(written: Written) -> None:
    written("shop_tasks", SHOP)
    settings = Settings.from_environment({"SMS_QUEUE_CONCURRENCY": "1", "SHOP_MAILS_QUEUE_CONCURRENCY": "2"})

    catalog = Catalog.load(["shop_tasks"], queues=settings.queues)

    assert catalog.queues[6:] == ("shop-mails", "sms"), "SHOP_MAILS_… is about shop-mails, not about another queue"
    assert settings.queue("shop-mails").concurrency == 2


class Nothing(Payload, frozen=True):
    pass


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "A"}, "must have a name such as email.welcome"),
        ({"queue": "a.b"}, "waits in 'a.b', which is no name for a queue"),
        ({"max_attempts": 0}, "must have 1 to 1000 attempts"),
        ({"timeout": timedelta(0)}, "must have a timeout from 1 s to 24 h"),
        ({"retry_delay": timedelta(0)}, "must have a retry delay from 1 ms to 30 days"),
        ({"retry_delay": timedelta(days=31)}, "must have a retry delay from 1 ms to 30 days"),
        ({"priority": 101}, "must have a priority from -100 to 100"),
    ],
)
def test_a_task_that_could_not_run_is_refused(wrong: dict[str, object], why: str) -> None:
    declaration = {"name": "a.b", "queue": "a", "payload": Nothing} | wrong

    with pytest.raises(InvalidCatalog, match=why):
        Task(**declaration)  # type: ignore[arg-type]
