"""One try of a source: what it delivers goes the way of every bill, and what it came to is written down.

Killed anywhere, the next try goes on: a file that was registered is known by its digest, one that was not moved yet is
moved then. Nothing of the outside is waited for inside a transaction.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.channels.bills.services import bill_enqueue, bill_receive
from payops.channels.choices import FileState
from payops.channels.fetch.alipay import AlipayAdapter
from payops.channels.fetch.choices import FetchOutcome, SourceKind
from payops.channels.fetch.deliveries import Adapter, Delivery, digest_of, private_folder
from payops.channels.fetch.empty import empty_day_declare
from payops.channels.fetch.errors import FetchError
from payops.channels.fetch.folder import FolderAdapter
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.sftp import SftpAdapter
from payops.channels.fetch.wechat import WechatAdapter
from payops.channels.models import BillFile
from payops.channels.schedules import moment_of
from payops.core.errors import PayopsError
from payops.core.institution import SHANGHAI

logger = logging.getLogger(__name__)

TIMETABLE: Final = "timetable"

ADAPTERS: Final[dict[SourceKind, Callable[[FileSource], Adapter]]] = {
    SourceKind.FOLDER: FolderAdapter,
    SourceKind.SFTP: SftpAdapter,
    SourceKind.WECHAT: WechatAdapter,
    SourceKind.ALIPAY: AlipayAdapter,
}


@dataclass(slots=True)
class _Try:
    """What every row of one try has in common."""

    source: FileSource
    started_at: dt.datetime
    by: str

    def write(
        self,
        day: dt.date,
        outcome: FetchOutcome,
        message: str = "",
        *,
        bill_file: BillFile | None = None,
        delivery: Delivery | None = None,
    ) -> FetchAttempt:
        logger.info("fetch %s %s %s: %s", self.source.contract.code, self.source.name, day, outcome.value)
        return FetchAttempt.objects.create(
            source=self.source,
            contract_id=self.source.contract_id,
            channel_date=day,
            outcome=outcome,
            message=message,
            file_name=delivery.name[:200] if delivery else "",
            remote=delivery.remote[:300] if delivery else "",
            bill_file=bill_file,
            started_at=self.started_at,
            finished_at=max(timezone.now(), self.started_at),
            made_by=self.by or TIMETABLE,
        )


def fetch_run(
    *, source: FileSource, day: dt.date | None, by: str = "", now: dt.datetime | None = None
) -> list[FetchAttempt]:
    """Try a source for a channel day, or (None) look for files of any day; returns the attempts written.

    A folder or server may hand over files of other days as well: each is registered for its own. For `day` there is
    always an attempt. Errors of the place become attempts; only defects of the program are raised.
    """
    now = now or timezone.now()
    this = _Try(source, now, by)
    written: list[FetchAttempt] = []
    try:
        adapter = ADAPTERS[SourceKind(source.kind)](source)
        with private_folder() as folder:
            for delivery in adapter.deliveries(day, folder, now.astimezone(SHANGHAI).date()):
                written.append(_receive(this, delivery))
                delivery.path.unlink(missing_ok=True)
    except FetchError as error:
        if day is not None:
            written.append(_without_file(this, day, error, now))
    except PayopsError as error:
        # A key that is gone, a folder that was renamed: the set-up has to be looked at.
        if day is not None:
            written.append(this.write(day, FetchOutcome.MISCONFIGURED, str(error)))
    if day is not None and not any(attempt.channel_date == day for attempt in written):
        written.append(this.write(day, FetchOutcome.NOTHING, _("There is no complete file of this day yet.")))
    return written


def _receive(this: _Try, delivery: Delivery) -> FetchAttempt:
    """Register what was delivered, write the attempt, then let the original be put away."""
    try:
        attempt = _register(this, delivery)
    except PayopsError as error:
        attempt = this.write(delivery.channel_date, FetchOutcome.REFUSED, str(error), delivery=delivery)
    delivery.settle(attempt.outcome != FetchOutcome.REFUSED)
    return attempt


def _register(this: _Try, delivery: Delivery) -> FetchAttempt:
    if delivery.trouble:
        raise FetchError(FetchOutcome.REFUSED, delivery.trouble)
    source, day = this.source, delivery.channel_date
    rejected = _rejected_before(source, day, delivery.path)
    if rejected is not None:
        raise FetchError(
            FetchOutcome.REFUSED,
            _("The same file was rejected as version %(version)d: %(reason)s")
            % {"version": rejected.version, "reason": rejected.error_message},
        )
    bill_file = bill_receive(
        contract=source.contract,
        channel_date=day,
        stream=delivery.path,
        name=delivery.name,
        source=source.kind,
        user=this.by or TIMETABLE,
    )
    with transaction.atomic():
        if bill_file.state == FileState.RECEIVED:
            bill_enqueue(bill_file, user=this.by or TIMETABLE)
        outcome = FetchOutcome.KNOWN if bill_file.duplicate else FetchOutcome.TAKEN
        return this.write(day, outcome, bill_file=bill_file, delivery=delivery)


def _rejected_before(source: FileSource, day: dt.date, path: Path) -> BillFile | None:
    """Bytes that were read and rejected once are not read again every few minutes."""
    files = BillFile.objects.filter(contract_id=source.contract_id, channel_date=day, state=FileState.REJECTED)
    return files.filter(sha256=digest_of(path)).order_by("version").last()


def _without_file(this: _Try, day: dt.date, error: FetchError, now: dt.datetime) -> FetchAttempt:
    source, message = this.source, str(error)
    if error.outcome != FetchOutcome.NO_BILL or source.empty_after is None:
        return this.write(day, error.outcome, message)
    if now < moment_of(day, source.empty_after):
        wait = _("%(answer)s It counts as an empty day from %(time)s.")
        return this.write(day, error.outcome, wait % {"answer": message, "time": f"{source.empty_after:%H:%M}"})
    try:
        bill_file = empty_day_declare(
            contract=source.contract, day=day, answer=error.answer, reason=message, by=this.by or TIMETABLE
        )
    except PayopsError as refused:
        if refused.code != "fetch.own_successes":
            raise
        ask = _("%(answer)s We have %(count)d successes that day, so a person has to decide.")
        return this.write(day, error.outcome, ask % {"answer": message, "count": refused.context["count"]})
    outcome = FetchOutcome.EMPTY if hasattr(bill_file, "empty_day") else FetchOutcome.KNOWN
    return this.write(day, outcome, message, bill_file=bill_file)
