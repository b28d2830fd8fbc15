"""The drivers: what they send, what they send again, and what they make of an error. Blocking and asyncio alike."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import threading
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.exceptions import ResponseError

from server.dev.ports import free_port
from server.dev.valkey import EmbeddedServer
from server.engine.admit import enqueue
from server.engine.async_engine import AsyncEngine
from server.engine.call import Call, keys_of
from server.engine.engine import Engine
from server.engine.errors import BackendFault, BackendFull, BackendUnavailable
from server.engine.job import JobState
from server.engine.look import stats
from server.engine.script import Script, Source
from server.engine.steer import resume
from server.engine.store import Store
from tests.conftest import Servers, raw_client
from tests.engine.hands import QUEUE, look, new_job, put

Run = Callable[[Call[Any]], Any]
TIMEOUT = 0.3  # s, of the engines that meet a server which gives no answer


@pytest.fixture(params=["blocking", "asyncio"])
def flavour(request: pytest.FixtureRequest) -> str:
    return cast(str, request.param)


class Driver:
    """One face for both flavours, so that each claim is made of both."""

    def __init__(self, store: Store, flavour: str, *, timeout: float = 5.0) -> None:
        self._loop = asyncio.Runner()
        self._engine = Engine(store, timeout=timeout) if flavour == "blocking" else self._made(store, timeout)

    def _made(self, store: Store, timeout: float) -> AsyncEngine:
        async def make() -> AsyncEngine:
            return AsyncEngine(store, timeout=timeout)

        return self._loop.run(make())

    def run(self, call: Call[Any]) -> Any:
        return self._wait(self._engine.run(call))

    def close(self) -> None:
        self._wait(self._engine.close())
        self._loop.close()
        del self._engine
        collect()

    def _wait(self, answer: Any) -> Any:
        async def wait() -> Any:
            return await answer

        return self._loop.run(wait()) if isinstance(answer, Awaitable) else answer


def collect() -> None:
    """Without a word: where a cluster fails, redis-py's asyncio client drops its nodes without closing them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def driver(store: Store, flavour: str) -> Iterator[Driver]:
    driver = Driver(store, flavour)
    yield driver
    driver.close()


@pytest.fixture(params=["valkey", "valkey-cluster"])
def own_server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[EmbeddedServer]:
    """A server that the test may kill: it is started again for those that come after."""
    server = servers.clean(request.param)
    yield server
    with raw_client(server) as raw:
        try:
            raw.ping()
        except redis.ConnectionError:
            server.restart()


@pytest.fixture
def own_driver(own_server: EmbeddedServer, flavour: str) -> Iterator[Driver]:
    driver = Driver(Store.parse(own_server.url), flavour, timeout=TIMEOUT)
    driver.run(stats(QUEUE))
    yield driver
    driver.close()


def call_of(body: str, *, flagged: str | None = None) -> Call[Any]:
    """A script that is none of ours."""
    script = Script(name="test", keys=("jobs",), flagged=Source.of(flagged or f"#!lua\n{body}"), plain=Source.of(body))
    return Call(script=script, keys=keys_of(QUEUE, ["jobs"]), arguments=[], read=lambda reply: reply)


def answering(error: str) -> Call[Any]:
    return call_of(f"return redis.error_reply([[{error}]])")


# What Redis 6.2 says of a `#!lua` line, any server says of a `#` further down.
TOO_NEW = call_of("return 'plain'", flagged="#!lua\n#!lua\nreturn 'flagged'")


def test_a_script_that_the_server_does_not_know_is_brought_along(driver: Driver, raw: redis.Redis) -> None:
    for n in range(3):
        raw.script_flush()
        assert driver.run(enqueue(QUEUE, [new_job(f"j{n}")]))[0].created

    assert driver.run(stats(QUEUE))[JobState.WAITING] == 3


def test_a_script_that_the_server_knows_is_called_by_its_name(driver: Driver, raw: redis.Redis) -> None:
    driver.run(stats(QUEUE))
    raw.config_resetstat()

    driver.run(stats(QUEUE))

    calls = raw.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] == 1
    assert "cmdstat_eval" not in calls


def test_a_server_that_knows_no_flags_gets_the_plain_text(driver: Driver) -> None:
    assert driver.run(TOO_NEW) == b"plain"
    assert driver.run(TOO_NEW) == b"plain"


def test_many_threads_may_find_out_at_once_that_the_server_knows_no_flags(store: Store) -> None:
    answers: list[object] = []
    start = threading.Barrier(8)

    with Engine(store) as engine:

        def ask() -> None:
            start.wait()
            answers.append(engine.run(TOO_NEW))

        _in_threads(8, ask)

    assert answers == [b"plain"] * 8


def test_a_plain_text_does_what_the_flagged_one_does(store: Store, raw: redis.Redis) -> None:
    with Engine(store) as engine:
        engine._flagged = False
        put(engine, "a")

        assert look(engine).state is JobState.WAITING


def test_a_broken_connection_is_replaced_and_the_call_sent_again(driver: Driver, raw: redis.Redis) -> None:
    driver.run(stats(QUEUE))
    for n in range(5):
        raw.client_kill_filter(_type="normal", skipme=True)

        assert driver.run(enqueue(QUEUE, [new_job(f"j{n}")]))[0].job_id == f"j{n}"


def test_a_server_that_is_away_is_unavailable_and_used_again_when_it_is_back(
    own_server: EmbeddedServer, own_driver: Driver
) -> None:
    own_server.kill()
    for _ in range(3):
        with pytest.raises(BackendUnavailable, match=r"^the queue's storage cannot be reached$"):
            own_driver.run(stats(QUEUE))

    own_server.restart()
    assert own_driver.run(enqueue(QUEUE, [new_job()]))[0].created


def test_a_driver_can_be_made_before_its_server_is_there(own_server: EmbeddedServer, flavour: str) -> None:
    own_server.kill()
    driver = Driver(Store.parse(own_server.url), flavour, timeout=TIMEOUT)
    with pytest.raises(BackendUnavailable):
        driver.run(stats(QUEUE))

    own_server.restart()
    driver.run(stats(QUEUE))
    driver.close()


def test_a_driver_that_was_never_used_can_be_closed_without_a_server(flavour: str) -> None:
    Driver(Store.parse(f"redis+cluster://127.0.0.1:{free_port()}"), flavour).close()


def test_a_call_without_an_answer_is_given_up_in_time_and_not_sent_again(
    own_server: EmbeddedServer, own_driver: Driver
) -> None:
    """Its caller has waited long enough; and whether it happened, nobody can tell."""
    with raw_client(own_server) as raw:
        raw.config_resetstat()
    os.kill(own_server.pid, signal.SIGSTOP)
    started = time.monotonic()
    try:
        with pytest.raises(BackendUnavailable):
            own_driver.run(enqueue(QUEUE, [new_job()]))
        assert time.monotonic() - started < 10 * TIMEOUT
    finally:
        os.kill(own_server.pid, signal.SIGCONT)

    with raw_client(own_server) as raw:
        scripts = raw.info("commandstats")
        assert scripts.get("cmdstat_evalsha", {"calls": 0})["calls"] <= 1
    assert own_driver.run(enqueue(QUEUE, [new_job()]))[0].job_id == "a"
    assert own_driver.run(stats(QUEUE))[JobState.WAITING] == 1


@pytest.mark.parametrize(
    "error",
    [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "UNKILLABLE Sorry the script already executed write commands",
        "NOAUTH Authentication required.",
        "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write",
    ],
)
def test_an_error_that_passes_means_unavailable(driver: Driver, error: str) -> None:
    with pytest.raises(BackendUnavailable):
        driver.run(answering(error))


@pytest.mark.parametrize(
    "error",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed",
    ],
)
def test_an_error_for_lack_of_memory_means_full(driver: Driver, error: str) -> None:
    with pytest.raises(BackendFull):
        driver.run(answering(error))


@pytest.mark.parametrize("error", ["WRONGTYPE Operation against a key", "ERR unknown command", "Oh no"])
def test_an_error_that_nobody_foresaw_is_a_bug_and_stays_as_it_is(driver: Driver, error: str) -> None:
    with pytest.raises(ResponseError) as raised:
        driver.run(answering(error))

    assert not isinstance(raised.value, BackendFault)


def lock(server: EmbeddedServer, password: str) -> None:
    with raw_client(server) as raw:
        raw.config_set("requirepass", password)


def test_no_error_repeats_the_password(tmp_path: Path, flavour: str) -> None:
    with EmbeddedServer.start(tmp_path, appendonly=False) as server:
        lock(server, "right-word")
        url = server.url.replace("unix://", "unix://:wrong-word@")
        driver = Driver(Store.parse(url), flavour)
        with pytest.raises(BackendUnavailable) as refused:
            driver.run(stats(QUEUE))
        server.kill()
        with pytest.raises(BackendUnavailable) as absent:
            driver.run(stats(QUEUE))
        driver.close()

    for raised in (refused, absent):
        assert "-word" not in "".join(traceback.format_exception(raised.value))


def test_a_password_opens_the_door(tmp_path: Path, flavour: str) -> None:
    with EmbeddedServer.start(tmp_path, appendonly=False) as server:
        lock(server, "p@ss:w/rd%")
        driver = Driver(Store.parse(server.url.replace("unix://", "unix://:p%40ss%3Aw%2Frd%25@")), flavour)
        assert driver.run(enqueue(QUEUE, [new_job()]))[0].created
        driver.close()


def test_without_a_clock_of_its_own_the_time_is_that_of_redis(driver: Driver, raw: redis.Redis) -> None:
    seconds, microseconds = raw.time()
    before = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    (enqueued,) = driver.run(enqueue(QUEUE, [new_job(delay=timedelta(seconds=60))]))

    assert timedelta(milliseconds=-1) <= enqueued.at - before < timedelta(seconds=10)
    assert enqueued.run_at == enqueued.at + timedelta(seconds=60)


def test_one_engine_serves_many_threads_and_gives_each_its_own_answers(store: Store) -> None:
    crossed: list[str] = []

    with Engine(store) as engine:

        def ask() -> None:
            for _ in range(50):
                job = new_job(f"j{threading.get_ident()}-{random.getrandbits(64)}")
                if put(engine, job)[0].job_id != job.id:
                    crossed.append(job.id)

        _in_threads(8, ask)
        assert engine.run(stats(QUEUE))[JobState.WAITING] == 400

    assert crossed == []


def _in_threads(number: int, target: Callable[[], None]) -> None:
    threads = [threading.Thread(target=target) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_who_waits_for_work_is_woken_by_it(engine: Engine) -> None:
    put(engine, "a")

    assert engine.wait_for_work(QUEUE, seconds=4)


def test_who_waits_in_vain_goes_on_after_a_while(engine: Engine) -> None:
    assert not engine.wait_for_work(QUEUE, seconds=0.01)


def test_one_poke_wakes_one_of_many(engine: Engine) -> None:
    engine.run(resume(QUEUE))
    engine.run(resume(QUEUE))

    assert [engine.wait_for_work(QUEUE, seconds=0.01) for _ in range(3)] == [True, False, False]


def test_who_waits_hears_that_the_server_is_gone(own_server: EmbeddedServer) -> None:
    with Engine(Store.parse(own_server.url)) as engine:
        assert not engine.wait_for_work(QUEUE, seconds=0.01)
        own_server.kill()

        with pytest.raises(BackendUnavailable):
            engine.wait_for_work(QUEUE, seconds=1)
        with pytest.raises(BackendUnavailable):
            engine.run(stats(QUEUE))
        own_server.restart()
        assert engine.run(stats(QUEUE)).jobs


@pytest.fixture
async def async_engine(store: Store) -> AsyncIterator[AsyncEngine]:
    engine = AsyncEngine(store)
    yield engine
    await engine.close()


async def test_a_probe_tells_whether_something_can_be_written(async_engine: AsyncEngine, raw: redis.Redis) -> None:
    await async_engine.probe()
    assert 0 < raw.ttl("cabrank:probe") <= 60

    raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(BackendFull):
            await async_engine.probe()
    finally:
        raw.config_set("maxmemory", 0)


async def test_a_probe_of_a_server_that_is_away_fails(own_server: EmbeddedServer) -> None:
    engine = AsyncEngine(Store.parse(own_server.url), timeout=TIMEOUT)
    await engine.probe()
    own_server.kill()

    with pytest.raises(BackendUnavailable):
        await engine.probe()
    await engine.close()
    del engine
    collect()


async def test_a_call_that_is_cancelled_on_its_way_never_gives_its_answer_to_another(
    async_engine: AsyncEngine, raw: redis.Redis
) -> None:
    """As when a caller's deadline passes: a connection whose answer nobody read must not be used again."""
    dice = random.Random(7)
    crossed: list[str] = []
    answered = cancelled = 0

    async def ask(number: int) -> None:
        nonlocal answered, cancelled
        for n in range(30):
            job = new_job(f"j{number}-{n}")
            call = asyncio.create_task(async_engine.run(enqueue(QUEUE, [job])))
            if n % 2:
                for _ in range(dice.randrange(4)):
                    await asyncio.sleep(0)  # the loop goes round once: the call is a bit further on its way
                call.cancel()
            try:
                (enqueued,) = await call
            except asyncio.CancelledError:
                cancelled += 1
            else:
                answered += 1
                if enqueued.job_id != job.id:
                    crossed.append(job.id)

    await asyncio.gather(*(ask(number) for number in range(64)))

    assert crossed == []
    assert min(answered, cancelled) > 50
    # No connection was lost from the pool on the way: all of them serve at once.
    found = await asyncio.gather(*(async_engine.run(stats(QUEUE)) for _ in range(64)))
    assert found[0][JobState.WAITING] >= answered
    assert len(raw.client_list()) <= 64 + 8


def test_a_failover_that_ends_a_wait_is_an_outage(valkey: EmbeddedServer) -> None:
    """A server that becomes a replica answers whoever blocks on it with UNBLOCKED."""
    ends: list[Exception] = []

    def wait(engine: Engine) -> None:
        try:
            engine.wait_for_work(QUEUE, seconds=3)
        except Exception as error:
            ends.append(error)

    with Engine(Store.parse(valkey.url)) as engine, raw_client(valkey) as raw:
        waiting = threading.Thread(target=wait, args=[engine])
        waiting.start()
        try:
            while not raw.info("clients")["blocked_clients"]:
                assert waiting.is_alive()
            raw.execute_command("REPLICAOF", "127.0.0.1", "1")
            waiting.join(10)
        finally:
            raw.execute_command("REPLICAOF", "NO", "ONE")

    assert [type(error) for error in ends] == [BackendUnavailable]
