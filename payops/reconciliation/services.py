"""Running a reconciliation: one contract, one channel date, one transaction (DOMAIN 7.2).

A run keeps, as JSON beside its result rows:

- `totals`: {kind code: {"own_count", "own_amount", "channel_count", "channel_amount", "channel_fee"}}, gross, signed;
- `results`: {result kind: {"count", "amount"}}, amount = Σ d (for matched: Σ own amount);
- `equation`: {"own_total", "new": {result: Σd}, "cleared": {result: Σd}, "discount", "channel_total", "left", "holds"},
  where own_total + Σ new − Σ cleared = channel_total (Σ(S + K) of the bill's lines, plus X booked by the run).
"""

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.channels.bills.selectors import accepted_file_held, line_range
from payops.channels.choices import CostMode
from payops.channels.models import BillFile, ChannelContract
from payops.core.errors import PayopsError
from payops.core.garbage import only_new_garbage
from payops.core.ids import id_range
from payops.core.institution import get_institution
from payops.core.locks import xact_lock
from payops.core.models import JobRun
from payops.core.money import format_amount
from payops.discrepancies import services as cases
from payops.discrepancies.choices import ActionKind
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.merchants.models import Merchant
from payops.orders.models import Transaction
from payops.orders.selectors import own_window
from payops.reconciliation.apply import apply
from payops.reconciliation.booking import book
from payops.reconciliation.buckets.models import RunSplit
from payops.reconciliation.buckets.services import buckets_for, join_buckets, split_make, split_taken
from payops.reconciliation.choices import ItemSide, ItemState, ResultKind, RunState
from payops.reconciliation.classify import Judge, Outcome, PoolItem, Surroundings
from payops.reconciliation.funds import receipt_due_set
from payops.reconciliation.join import Joined, inputs_of, join
from payops.reconciliation.matching.apart import kept_apart
from payops.reconciliation.matching.claims import remainders
from payops.reconciliation.matching.rules import group_by_of, under_rule
from payops.reconciliation.models import OpenItem, ReconResult, ReconRun
from payops.reconciliation.rows import LineRow, OwnRow, line_rows_of, own_row, own_rows_of
from payops.reconciliation.state import Before, Skips, load_before, settled_rows
from payops.reconciliation.windows import doubt_window

LOCK = "reconciliation.contract"
LOOK_BACK_DAYS = 400
KEY_STEP = 2000


def mark_resolved(case: Discrepancy, action: CaseAction) -> None:
    """An approved action took the difference out of suspense: runs no longer re-try its item."""
    if action.kind != ActionKind.WAIT:
        OpenItem.objects.filter(case=case, state=ItemState.DEFINITE).update(state=ItemState.RESOLVED)


def work_stands_on(bill_file: BillFile) -> bool:
    """Whether a run used this file, so that a re-issue replaces it only by a person's decision."""
    return ReconRun.objects.filter(file=bill_file, state=RunState.COMPLETE).exists()


@only_new_garbage()
@transaction.atomic
def run_reconcile(
    *,
    contract: ChannelContract,
    day: date,
    batch: int = 1,
    job: JobRun | None = None,
    username: str = "system",
    buckets: int | None = None,
    split: RunSplit | None = None,
) -> ReconRun:
    """Compare own day `day` of a contract with its accepted bill, book the result and return the run, now current.

    All or nothing. Raises PayopsError 'recon.day_open' before the own day is closed, 'recon.no_bill' without an
    accepted file. Running again starts from the same items and books only what differs. The outcome is the same in
    any number of `buckets`; of a `split` what its buckets found already is taken, as far as it still holds.
    """
    xact_lock(LOCK, contract.code)
    contract = under_rule(contract, day)
    bill_file = _inputs(contract, day, batch)
    before = load_before(contract, day, batch)
    run = _run_row(contract, day, batch, bill_file, job)
    skips = settled_rows(before, contract, day, line_range(bill_file))
    inputs = inputs_of(contract, day, bill_file, skips)
    split = _split_for(contract, day, batch, bill_file, inputs, split, buckets)
    joined = join(inputs) if split is None else join_buckets(split)
    outcome = _judge(run, before, skips, joined)
    apply(run, before, outcome)
    discounts = _discounts(joined, outcome, skips.discounts)
    settled, fee = joined.settled, joined.fee
    book(run, settled=settled, cost=fee, discounts=discounts, username=username)
    _finish(run, joined, discounts)
    if split is not None:
        split_taken(split, run)
    receipt_due_set(contract=contract, channel_date=day, due=settled)
    _escalate(contract, day)
    return run


def _inputs(contract: ChannelContract, day: date, batch: int) -> BillFile:
    if not ledger.day_is_closed(day):
        raise PayopsError(
            "recon.day_open",
            _("%(day)s is not closed yet, so its own transactions are not complete. Close the day first.")
            % {"day": day},
            {"day": day.isoformat()},
        )
    bill_file = accepted_file_held(contract, day, batch)
    if bill_file is None:
        raise PayopsError(
            "recon.no_bill",
            _("%(channel)s has no accepted bill for %(day)s. Upload it or decide about the held one.")
            % {"channel": contract.code, "day": day},
            {"channel": contract.code, "day": day.isoformat()},
        )
    return bill_file


def run_split(
    *, contract: ChannelContract, day: date, batch: int = 1, buckets: int | None = None, job: JobRun | None = None
) -> RunSplit | None:
    """Write down what the buckets of a run are to compare; None where the day is compared as a whole.

    Raises what `run_reconcile` does. Nothing else is written: what a run does before it compares is done again by it.
    """
    with transaction.atomic():
        xact_lock(LOCK, contract.code)
        contract = under_rule(contract, day)
        bill_file = _inputs(contract, day, batch)
        number = buckets_for(bill_file, buckets)
        if number == 1:
            return None
        with transaction.atomic():
            skips = settled_rows(load_before(contract, day, batch), contract, day, line_range(bill_file))
            transaction.set_rollback(True)
        inputs = inputs_of(contract, day, bill_file, skips)
        return split_make(
            contract=contract, day=day, batch=batch, bill_file=bill_file, inputs=inputs, buckets=number, job=job
        )


def _split_for(
    contract: ChannelContract,
    day: date,
    batch: int,
    bill_file: BillFile,
    inputs: dict[str, Any],
    split: RunSplit | None,
    buckets: int | None,
) -> RunSplit | None:
    """The split to take results from: the one given, or a new one of as many buckets where its inputs are no more."""
    if split is not None and split.run_id is None and split.inputs == inputs:
        return split
    number = buckets_for(bill_file, buckets) if split is None else split.buckets
    if number == 1:
        return None
    return split_make(
        contract=contract,
        day=day,
        batch=batch,
        bill_file=bill_file,
        inputs=inputs,
        buckets=number,
        job=None if split is None else split.job,
    )


def _run_row(contract: ChannelContract, day: date, batch: int, bill_file: BillFile, job: JobRun | None) -> ReconRun:
    runs = ReconRun.objects.filter(contract=contract, channel_date=day, batch=batch)
    number = (runs.aggregate(last=Max("run_no"))["last"] or 0) + 1
    return ReconRun.objects.create(
        contract=contract, channel_date=day, batch=batch, run_no=number, file=bill_file, job=job
    )


# --- judging ----------------------------------------------------------------------------------------------------------


def _judge(run: ReconRun, before: Before, skips: Skips, joined: Joined) -> Outcome:
    contract = run.contract
    repeated_own, repeated_lines = joined.repeated_own, joined.repeated_lines
    own = own_rows_of([*joined.own_ids, *(own_id for own_id, _line in joined.pairs), *repeated_own])
    lines = line_rows_of([*joined.line_ids, *(line_id for _own, line_id in joined.pairs), *repeated_lines], contract)
    own_left = [own[pk] for pk in joined.own_ids]
    lines_left = [lines[pk] for pk in joined.line_ids]
    judge = Judge(_surroundings(run, before, skips, own_left, lines_left))
    outcome = judge.decide(
        pairs=[(own[own_id], lines[line_id]) for own_id, line_id in joined.pairs],
        own_left=own_left,
        lines_left=lines_left,
        repeated_own=[own[pk] for pk in repeated_own],
        repeated_lines=[lines[pk] for pk in repeated_lines],
        pool=_still_standing(before, skips),
    )
    outcome.new += skips.changed
    outcome.new += remainders(before.by_hand, before.frozen)
    outcome.gone = [pooled for pooled in before.pool if pooled.item.pk in skips.gone]
    return outcome


def _still_standing(before: Before, skips: Skips) -> list[PoolItem]:
    """Pool items whose row still is what it was: an order that got its result since stands in its own day's set."""
    pool = []
    for pooled in before.pool:
        if pooled.item.pk in skips.gone:
            continue
        own = pooled.own
        if own is not None and pooled.item.d == 0 and (own.counts or own.own_date != pooled.item.first_date):
            pooled.item.state = ItemState.WITHDRAWN
        else:
            pool.append(pooled)
    return pool


def _surroundings(
    run: ReconRun, before: Before, skips: Skips, own_left: list[OwnRow], lines_left: list[LineRow]
) -> Surroundings:
    contract, day = run.contract, run.channel_date
    runs_done = frozenset(
        ReconRun.objects.filter(contract=contract, batch=run.batch, is_current=True).values_list(
            "channel_date", flat=True
        )
    )
    return Surroundings(
        day=day,
        window=doubt_window(
            day,
            own_cut_off=get_institution().own_cut_off,
            channel_cut_off=contract.cut_off,
            margin_minutes=contract.doubt_margin_minutes,
            previous_run_complete=day - timedelta(days=1) in runs_done,
        ),
        check_fee=contract.cost_package_id is not None,
        tolerance=contract.fee_tolerance,
        own_elsewhere=_own_elsewhere(contract, day, own_left, lines_left),
        runs_done=runs_done,
        recovered_keys=frozenset(
            (item.match_key, item.kind) for item in before.redo.values() if item.result == ResultKind.STATUS
        ),
        kept_own=before.kept_keys(ItemSide.OWN, skips.gone),
        kept_lines=before.kept_keys(ItemSide.CHANNEL, skips.gone),
        group_by=group_by_of(contract, day),
        kept_apart=kept_apart(contract),
    )


def _own_elsewhere(
    contract: ChannelContract, day: date, own_left: list[OwnRow], lines_left: list[LineRow]
) -> dict[tuple[str, int], OwnRow]:
    """Transactions of ours with the same key and kind on other days: one that counts first, then the earliest."""
    mine = {own.id for own in own_left}
    keys = sorted({own.key for own in own_left if own.counts} | {line.key for line in lines_left})
    lo, _hi = id_range(day - timedelta(days=LOOK_BACK_DAYS), day)
    _lo, hi = own_window(max(day, ledger.open_day()))
    found: dict[tuple[str, int], OwnRow] = {}
    for start in range(0, len(keys), KEY_STEP):
        rows = (
            Transaction.objects.in_range(lo, hi)
            .filter(contract=contract, match_key__in=keys[start : start + KEY_STEP])
            .select_related("merchant")
            .order_by("id")
        )
        for transaction_row in rows:
            if transaction_row.pk in mine:
                continue
            row = own_row(transaction_row)
            best = found.get((row.key, row.kind))
            if best is None or (row.counts and not best.counts):
                found[row.key, row.kind] = row
    return found


# --- finishing --------------------------------------------------------------------------------------------------------


def _discounts(joined: Joined, outcome: Outcome, frozen: dict[str, int]) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    numbers = dict(Merchant.objects.filter(pk__in=joined.discounts).values_list("pk", "merchant_no"))
    for merchant_id, amount in joined.discounts.items():
        totals[numbers[merchant_id]] += amount
    for source in (outcome.discounts, frozen):
        for merchant_no, amount in source.items():
            totals[merchant_no] += amount
    return {merchant_no: amount for merchant_no, amount in totals.items() if amount}


def _finish(run: ReconRun, joined: Joined, discounts: dict[str, int]) -> None:
    netted = run.contract.cost_mode == CostMode.NETTED
    run.own_count, run.own_amount = joined.own_count, joined.own_amount
    run.channel_count = joined.line_count
    run.channel_amount = joined.settled + (joined.fee if netted else 0) + sum(discounts.values())
    run.matched_count = joined.matched
    run.totals = {str(kind): dict(totals) for kind, totals in sorted(joined.by_kind.items())}
    run.results = _result_summary(run, joined)
    run.equation = _equation(run, sum(discounts.values()))
    if not run.equation["holds"]:
        raise PayopsError(
            "recon.equation",
            _("The equation of %(channel)s %(day)s does not hold: %(left)s against %(right)s. Nothing was booked.")
            % {
                "channel": run.contract.code,
                "day": run.channel_date,
                "left": format_amount(run.equation["left"], run.contract.currency),
                "right": format_amount(run.channel_amount, run.contract.currency),
            },
            run.equation,
        )
    run.state, run.is_current, run.finished_at = RunState.COMPLETE, True, timezone.now()
    ReconRun.objects.filter(
        contract=run.contract, channel_date=run.channel_date, batch=run.batch, is_current=True
    ).update(is_current=False)
    run.save()


def _result_summary(run: ReconRun, joined: Joined) -> dict[str, dict[str, int]]:
    summary = {ResultKind.MATCHED.value: {"count": joined.matched, "amount": joined.matched_amount}}
    counts: dict[str, dict[str, int]] = defaultdict(lambda: {"count": 0, "amount": 0})
    for kind, d in ReconResult.objects.filter(run=run).values_list("kind", "d"):
        counts[kind]["count"] += 1
        counts[kind]["amount"] += d
    return {**summary, **dict(sorted(counts.items()))}


def _equation(run: ReconRun, discount: int) -> dict[str, Any]:
    """own total + Σd first seen − Σd cleared by match = channel total (after X), from the items themselves."""
    runs = ReconRun.objects.filter(contract=run.contract, channel_date=run.channel_date, batch=run.batch)
    items = OpenItem.objects.filter(contract=run.contract).exclude(state=ItemState.WITHDRAWN)
    new = dict(items.filter(first_run__in=runs).order_by().values_list("result").annotate(Sum("d")))
    cleared = dict(
        items.filter(cleared_run__in=runs, state=ItemState.CLEARED).order_by().values_list("result").annotate(Sum("d"))
    )
    left = run.own_amount + sum(new.values()) - sum(cleared.values())
    return {
        "own_total": run.own_amount,
        "new": new,
        "cleared": cleared,
        "discount": discount,
        "channel_total": run.channel_amount,
        "left": left,
        "holds": left == run.channel_amount,
    }


def _escalate(contract: ChannelContract, day: date) -> None:
    """After T+n the rolling re-try is not enough any more: somebody has to act."""
    limit = day - timedelta(days=contract.escalate_after_days)
    late = OpenItem.objects.filter(
        contract=contract,
        state=ItemState.DEFINITE,
        first_date__lte=limit,
        case__isnull=False,
        case__escalated_at__isnull=True,
    ).exclude(case__closed_at__isnull=False)
    for case_id in late.values_list("case_id", flat=True):
        cases.case_escalate(case_id=case_id, note=_("Still open after T+%d.") % contract.escalate_after_days)
