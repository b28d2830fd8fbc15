from __future__ import annotations
import asyncio, time
from datetime import timedelta
import grpc, pytest, redis
from cabrank.v1.queue_pb2 import *
from cabrank.v1.admin_pb2 import *
from google.protobuf.duration_pb2 import Duration
from cabrank.v1 import job_pb2
from tests.rpc.test_watch import Watcher, welcome, tell, calls, watch, _answer
from tests.rpc.refusals import refused
from tests.engine.hands import *

async def test_unblocked(queues, raw):
    w = await Watcher.begin(queues)
    await asyncio.sleep(0.3)
    raw.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        print("REFUSAL", await w.refusal())
    finally:
        raw.execute_command("REPLICAOF", "NO", "ONE")

async def test_miscon(queues, admin, raw, tmp_path):
    await queues.Enqueue(welcome("a"))
    d = tmp_path / "gone"; d.mkdir()
    old = raw.config_get("dir")["dir"]
    raw.config_set("dir", str(d)); raw.config_set("save", "3600 1"); d.rmdir()
    try:
        try: raw.bgsave()
        except Exception as e: print(e)
        await asyncio.sleep(.5)
        print(raw.info("persistence")["rdb_last_bgsave_status"])
        for call in (queues.Enqueue(welcome("b")), admin.GetHealth(GetHealthRequest()), admin.ListJobs(ListJobsRequest(queue="email", state=job_pb2.JOB_STATE_WAITING))):
            try: await call; print("ok")
            except Exception as e: print(e.code(), e.details())
    finally:
        raw.config_set("dir", old); raw.config_set("save", "")

async def test_short_deadline(queues, admin):
    for n in range(30): await queues.Enqueue(welcome(f"j{n}"))
    print("0.45:", await admin.PurgeQueue(PurgeQueueRequest(queue="email"), timeout=0.45))
    print("1.0:", await admin.PurgeQueue(PurgeQueueRequest(queue="email"), timeout=1.0))

async def test_herd(queues, raw):
    w = await Watcher.begin(queues)
    cursor = w.cursor
    w.call.cancel()
    N = 200
    for n in range(3000):
        if n % 500 == 0: print(n)
        raw.xadd("cabrank:{email}:events", {"waiting email.welcome": f"j{n}"})
    raw.config_resetstat()
    t = time.monotonic()
    async def one():
        w = await Watcher.begin(queues, cursor=cursor)
        await w.until("j2999")
        w.call.cancel()
    await asyncio.gather(*(one() for _ in range(N)))
    st = raw.info("commandstats")
    print("herd", time.monotonic()-t, {k: v for k,v in st.items() if "xr" in k or "eval" in k})
