"""The buckets a run was compared in: how many rows each had, whether it had to be compared again, how long it took."""

from __future__ import annotations

from django.utils.translation import gettext as _

from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.reconciliation.models import ReconRun, RunBucket, RunSplit


def bucket_table(run: ReconRun) -> Table | None:
    """One row per bucket, of several turns the one that counts; None where the day was compared as a whole."""
    split = RunSplit.objects.filter(run=run).first()
    if split is None:
        return None
    counts: dict[int, RunBucket] = {}
    for result in RunBucket.objects.filter(split=split).order_by("turn"):
        counts[result.bucket] = result
    rows = [_row(counts[bucket], split.buckets) for bucket in sorted(counts)]
    columns = [
        Column(_("Bucket")),
        Column(_("State")),
        Column(_("Own rows"), "c-amount"),
        Column(_("Channel lines"), "c-amount"),
        Column(_("Duration"), "c-amount"),
        Column(_("Compared")),
        Column(_("Job")),
    ]
    foot = [
        cells.text(_("Total")),
        cells.text(""),
        cells.count(sum(each.own_count for each in counts.values())),
        cells.count(sum(each.line_count for each in counts.values())),
        cells.duration(sum(each.milliseconds for each in counts.values())),
        cells.text(""),
        cells.text(""),
    ]
    note = _("Each bucket is compared by itself; the run adds them up. Rows matched or decided before are in none.")
    return Table(columns, rows, title=_("Buckets"), foot=foot, note=note)


def _row(result: RunBucket, buckets: int) -> list[Cell]:
    again = cells.badge("replaced", _("Compared again"), tone="info")
    return [
        cells.text(f"{result.bucket + 1} / {buckets}"),
        again if result.turn > 1 else cells.badge("done", _("Compared")),
        cells.count(result.own_count),
        cells.count(result.line_count),
        cells.duration(result.milliseconds),
        cells.moment(result.made_at),
        cells.number(result.job_id, link("job", result.job_id)) if result.job_id else cells.text("–"),
    ]
