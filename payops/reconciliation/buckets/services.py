"""Comparing a day in buckets, and putting what they found together (docs/reconciliation.md, Scale).

A bucket is compared by whoever claims it, on whatever host. What may change meanwhile is looked at when the run takes
the results: inputs that are others now make a new split, own rows that are others now make their bucket be compared
again, both inside the run's own transaction.
"""

from __future__ import annotations

import time
from datetime import date
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from payops.channels.models import BillFile, ChannelContract
from payops.core.errors import PayopsError
from payops.core.models import JobRun
from payops.reconciliation.buckets.models import MOST_BUCKETS, RunBucket, RunSplit
from payops.reconciliation.join import Joined, Share, compare, frozen_sums, marks
from payops.reconciliation.models import ReconRun

TURNS: Final = 5


def buckets_for(bill_file: BillFile, wanted: int | None = None) -> int:
    """How many buckets a bill is compared in: as many as `wanted`, else by its lines; 1 is the day as a whole.

    Raises PayopsError 'recon.buckets' for a number that is none.
    """
    if wanted is not None:
        if not 0 <= wanted <= MOST_BUCKETS:
            raise PayopsError(
                "recon.buckets",
                _("A run has up to %(most)d buckets, not %(wanted)d.") % {"most": MOST_BUCKETS, "wanted": wanted},
                {"buckets": wanted},
            )
        return max(wanted, 1)
    share = settings.PAYOPS_RUN_BUCKET_LINES
    return min(max(-(-bill_file.line_count // share), 1), MOST_BUCKETS) if share else 1


def split_make(
    *,
    contract: ChannelContract,
    day: date,
    batch: int,
    bill_file: BillFile,
    inputs: dict[str, Any],
    buckets: int,
    job: JobRun | None,
) -> RunSplit:
    """Write down what the buckets of a day are told."""
    return RunSplit.objects.create(
        contract=contract, channel_date=day, batch=batch, file=bill_file, buckets=buckets, inputs=inputs, job=job
    )


def bucket_compare(*, split: RunSplit, bucket: int, job: JobRun | None = None) -> RunBucket:
    """The child run of one bucket; one that is there already, of a worker that died after it, is given back.

    It keeps to one process of the database: the others have its siblings to compare.
    """
    known = split.results.filter(bucket=bucket).order_by("-turn").first()
    if known is not None:
        return known
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        return _compare(split, bucket, turn=1, job=job)


def _compare(split: RunSplit, bucket: int, *, turn: int, job: JobRun | None) -> RunBucket:
    started = time.monotonic()
    joined, stood = compare(split.inputs, Share(bucket, split.buckets))
    # Whoever lost the claim and went on all the same finds the row of whoever took it over.
    result, _made = RunBucket.objects.get_or_create(
        split=split,
        bucket=bucket,
        turn=turn,
        defaults={
            "own_count": stood.count,
            "own_mark": stood.mark,
            "own_last": stood.last,
            "line_count": joined.line_count,
            "joined": joined.as_json(),
            "milliseconds": round((time.monotonic() - started) * 1000),
            "job": job,
        },
    )
    return result


def join_buckets(split: RunSplit) -> Joined:
    """What all buckets found, added up, with the rows that are spoken for: the same as the day compared as a whole.

    A bucket that is missing, or whose own rows changed since it was compared, is compared here. Raises PayopsError
    'recon.rows_change' (retryable) when that does not come to rest.
    """
    latest = {result.bucket: result for result in split.results.order_by("turn")}
    for _turn in range(TURNS):
        now = marks(split.inputs, split.buckets)
        behind = [
            bucket
            for bucket in range(split.buckets)
            if bucket not in latest or (latest[bucket].own_count, latest[bucket].own_mark) != now.get(bucket, (0, 0))
        ]
        if not behind:
            break
        for bucket in behind:
            turn = latest[bucket].turn + 1 if bucket in latest else 1
            latest[bucket] = _compare(split, bucket, turn=turn, job=None)
    else:
        raise PayopsError(
            "recon.rows_change",
            _("Transactions of %(day)s keep changing while it is compared. Try again in a minute.")
            % {"day": split.channel_date},
            {"split": split.pk, "retryable": True},
        )
    joined = frozen_sums(split.inputs)
    for _bucket, result in sorted(latest.items()):
        joined.add(Joined.from_json(result.joined))
    return joined


def split_taken(split: RunSplit, run: ReconRun) -> None:
    """The run is made of these buckets, for good."""
    split.run = run
    split.save(update_fields=["run"])
