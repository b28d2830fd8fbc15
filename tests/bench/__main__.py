"""Runs the measurements one after the other and says which claims hold. Exit code 1 when one does not."""

import sys
from collections.abc import Sequence

from tests.bench.enqueue import enqueue_answers, one_key_one_job
from tests.bench.faults import smtp_outage, smtp_refusals, worker_killed
from tests.bench.figure import Measurement
from tests.bench.looking import list_is_stable, stats_do_not_grow
from tests.bench.mail import mail_lands
from tests.bench.soak import counts_agree
from tests.bench.start import concurrency_holds, delayed_jobs_wait_in_redis, idle_queue_starts
from tests.bench.steering import bulk_leaves_room, pause_holds

MEASUREMENTS: tuple[Measurement, ...] = (
    mail_lands,
    enqueue_answers,
    idle_queue_starts,
    one_key_one_job,
    concurrency_holds,
    delayed_jobs_wait_in_redis,
    worker_killed,
    smtp_refusals,
    smtp_outage,
    stats_do_not_grow,
    list_is_stable,
    pause_holds,
    bulk_leaves_room,
    counts_agree,
)


def main(names: Sequence[str]) -> int:
    known = {measurement.__name__: measurement for measurement in MEASUREMENTS}
    if unknown := set(names) - set(known):
        print(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    held = True
    for name, measurement in known.items():
        if not names or name in names:
            for figure in measurement():
                print(figure, flush=True)
                held = held and figure.holds
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
