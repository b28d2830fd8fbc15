"""What requests may hold: the parts of a path, the parameters of a query, the fields of a body."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from server.admin.bulk import Selection
from server.admin.listing import USUAL_SIZE, Listing
from server.engine.errors import InvalidValue
from server.engine.job import JobState
from server.engine.look import PAGE_LIMIT
from server.engine.moments import moment
from server.settings.values import duration
from server.web.api.shape import Shape, says

_TEN_YEARS_MS = 315_360_000_000
_YEAR_9999_MS = 253_402_300_799_999
_LIMIT = says("At most so many jobs. Absent or 0: all.", ge=0, le=2**31 - 1, examples=[100])
_DRY_RUN = says("Only count what would be done.")


class Nothing(Shape, frozen=True, forbid_unknown_fields=True):
    """Nothing is asked."""


class QueueAt(Shape, frozen=True):
    """Names one queue."""

    name: Annotated[str, says("The queue.", examples=["email"])]


class JobAt(QueueAt, frozen=True):
    """Names one job."""

    id: Annotated[
        str,
        says(
            "The job's id.",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$",
            must_be="1 to 100 letters, digits, _ . : or -",
        ),
    ]


class ListAsk(Shape, frozen=True, forbid_unknown_fields=True):
    """Which jobs to list."""

    status: Annotated[JobState, says("The state in which they stand: each has an order of its own.")]
    limit: Annotated[int, says(f"At most so many; more than {PAGE_LIMIT} is taken as {PAGE_LIMIT}.", ge=1)] = USUAL_SIZE
    page_token: Annotated[
        str, says("`nextPageToken` of the page before; all else must be as it was there. Absent: the first page.")
    ] = ""
    order: Annotated[
        Literal["oldest", "newest"] | None,
        says(
            "From which end. Absent: the waiting and the delayed in the order in which they start, the ended newest"
            " first."
        ),
    ] = None
    task: Annotated[str, says("Only jobs of this task; a page may then be short, even empty, and not be the last.")] = (
        ""
    )

    def listing(self, queue: str) -> Listing:
        return Listing(
            queue=queue,
            state=self.status,
            size=min(self.limit, PAGE_LIMIT),
            newest_first=None if self.order is None else self.order == "newest",
            task=self.task,
        )


class PauseAsk(Shape, frozen=True, forbid_unknown_fields=True):
    """Why the queue is to pause, and for how long."""

    reason: Annotated[str, says("Shown wherever the pause is.", max_length=200, examples=["SMTP is down"])] = ""
    resume_at: Annotated[
        Annotated[int, says("Milliseconds since 1970.", ge=0, le=_YEAR_9999_MS)]
        | Annotated[datetime, says("As RFC 3339 has it, with its time zone.", tz=True)]
        | None,
        says(
            "When the queue goes on by itself; in the future. Absent: when somebody resumes it.",
            must_be="a moment with its time zone, such as 2030-01-31T08:00:00Z, or milliseconds since 1970",
        ),
    ] = None

    @property
    def until(self) -> datetime | None:
        """Raises InvalidValue."""
        given = self.resume_at
        if not isinstance(given, datetime):
            return None if given is None else moment(given)
        try:
            return given.astimezone(UTC)
        except OverflowError:
            raise InvalidValue("resume_time", "must lie in the years 1 to 9999") from None


class CleanAsk(Shape, frozen=True, forbid_unknown_fields=True):
    """Which jobs to remove."""

    status: Annotated[
        Literal["completed", "failed", "cancelled", "waiting", "delayed"],
        says("The state in which they stand; active jobs cannot be removed."),
    ] = "completed"
    grace: Annotated[
        int,
        says(
            "Only jobs that ended at least so many ms ago; waiting and delayed ones, that were enqueued. Absent: all"
            " that were in that state before the request.",
            ge=0,
            le=_TEN_YEARS_MS,
            examples=[86_400_000],
        ),
    ] = 0
    older_than: Annotated[
        Annotated[str, Meta(pattern="^[0-9]{1,9}(ms|s|m|h|d)$")] | None,
        says("Instead of `grace`: with a unit.", examples=["24h"], must_be="a number and a unit, such as 24h"),
    ] = None
    limit: Annotated[int, _LIMIT] = 0
    dry_run: Annotated[bool, _DRY_RUN] = False

    @property
    def state(self) -> JobState:
        return JobState(self.status)

    @property
    def which(self) -> Selection:
        """Raises InvalidValue."""
        if self.grace and self.older_than:
            raise InvalidValue("grace", "and olderThan cannot be given together")
        age = duration(self.older_than) if self.older_than else timedelta(milliseconds=self.grace)
        return Selection(older_than=age, limit=self.limit, dry_run=self.dry_run)


class RetryAsk(Shape, frozen=True, forbid_unknown_fields=True):
    """Which of the failed jobs to retry."""

    limit: Annotated[int, _LIMIT] = 0
    task: Annotated[str, says("Only jobs of this task.", examples=["email.welcome"])] = ""
    dry_run: Annotated[bool, _DRY_RUN] = False

    @property
    def which(self) -> Selection:
        return Selection(limit=self.limit, dry_run=self.dry_run)
