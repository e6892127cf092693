"""Writing down what a run decided: items, links, cases and the result rows it keeps for ever."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from payops.discrepancies import services as cases
from payops.discrepancies.choices import CaseKind
from payops.merchants.models import Merchant
from payops.orders import services as orders
from payops.orders.choices import Origin
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemSide, ItemState, ResultKind
from payops.reconciliation.classify import Clearing, Difference, Outcome
from payops.reconciliation.matching import claims
from payops.reconciliation.matching.groups import Grouped
from payops.reconciliation.models import MatchLink, OpenItem, ReconResult, ReconRun
from payops.reconciliation.rows import LineRow, OwnRow, own_rows_of
from payops.reconciliation.state import LIVE, Before, base_of, identity_of, item_write, snapshot

BATCH = 1000
CASE_KINDS = {
    ResultKind.OWN_ONLY: CaseKind.OWN_ONLY,
    ResultKind.CHANNEL_ONLY: CaseKind.CHANNEL_ONLY,
    ResultKind.AMOUNT: CaseKind.AMOUNT,
    ResultKind.FEE: CaseKind.FEE,
    ResultKind.STATUS: CaseKind.STATUS,
    ResultKind.CURRENCY: CaseKind.CURRENCY,
    ResultKind.KIND: CaseKind.KIND,
    ResultKind.DUPLICATE_CHANNEL: CaseKind.DUPLICATE_CHANNEL,
    ResultKind.DUPLICATE_OWN: CaseKind.DUPLICATE_OWN,
}


@dataclass(slots=True)
class Applied:
    """The items of the run's differences, to be shown with its results."""

    new: list[tuple[Difference, OpenItem]]


def apply(run: ReconRun, before: Before, outcome: Outcome) -> Applied:
    """Bring orders, items, links and cases to what the outcome says; idempotent for an unchanged outcome.

    What is no longer found leaves first and what is cleared next: a row has at most one live item.
    """
    _orders(run, outcome)
    placed, fresh = _sort_out(run, before, outcome)
    _withdraw(before, kept={item.pk for _difference, item in placed})
    for _difference, item in placed:
        item_write(before, item)
    claims.clear_by_hand(run, before)
    _pool(run, before, outcome)
    _insert(placed, fresh)
    found = claims.end_stale(run, outcome.groups)
    _links(run, before, outcome)
    claims.add_found(run, found)
    _results(run, before, outcome, placed + fresh)
    return Applied(placed + fresh)


# --- orders -----------------------------------------------------------------------------------------------------------


def _orders(run: ReconRun, outcome: Outcome) -> None:
    # What cannot simply be set right (a refund that no longer fits, say) stays as it is and is a case.
    orders.transactions_recover(
        [orders.Lost(own.id, line.at, line.trade_no) for own, line in outcome.recovered], run_id=run.pk
    )
    orders.transactions_fail_absent([own.id for own in outcome.set_failed])
    for own in outcome.refunds_failed:
        origin = Transaction.objects.values_list("origin", flat=True).get(pk=own.id)
        if origin == Origin.SURPLUS_REFUND:
            cases.surplus_refund_failed(transaction_id=own.id, note=_("Not in the bill."))
        else:
            orders.refund_confirm_failed(own.id)


# --- items ------------------------------------------------------------------------------------------------------------


Placed = list[tuple[Difference, OpenItem]]


def _sort_out(run: ReconRun, before: Before, outcome: Outcome) -> tuple[Placed, Placed]:
    """This day's differences with their items; an unacted one of an earlier run is kept where it is the same."""
    placed: Placed = []
    fresh: Placed = []
    gone = {base_of(pooled.item.identity): pooled.item for pooled in outcome.gone}
    for difference in outcome.new:
        base = base_of(identity_of(difference))
        known = before.redo.get(base)
        if known is not None and _is_same(known, difference):
            _refresh(known, difference, run)
            placed.append((difference, known))
        else:
            fresh.append((difference, _item(run, difference, replaces=known or gone.get(base))))
    return placed, fresh


def _is_same(known: OpenItem, difference: Difference) -> bool:
    """Whether an item goes on as this difference: as much, and as what it is; what is in doubt may become definite."""
    told = known.result == difference.result or known.state == ItemState.IN_DOUBT
    return told and (known.d, known.fee_claim) == (difference.d, difference.fee_claim)


def _insert(placed: Placed, fresh: Placed) -> None:
    """New items with their cases, and cases again for kept items whose case had ended."""
    _open_cases([pair for pair in fresh if pair[1].state == ItemState.DEFINITE])
    OpenItem.objects.bulk_create([item for _difference, item in fresh], batch_size=BATCH)
    reopened = [pair for pair in placed if pair[1].state == ItemState.DEFINITE and not _case_open(pair[1])]
    _open_cases(reopened)
    for _difference, item in reopened:
        item.save(update_fields=["case"])


def _case_open(item: OpenItem) -> bool:
    return item.case is not None and item.case.is_open


def _refresh(item: OpenItem, difference: Difference, run: ReconRun) -> None:
    """An item kept by a re-run: its line may stand in a newer file, its state may have become definite."""
    item.transaction_id = difference.own.id if difference.own else None
    item.bill_line_id = difference.line.id if difference.line else None
    item.state, item.result = difference.state, difference.result
    if difference.state == ItemState.DEFINITE:
        item.definite_run_id = item.definite_run_id or run.pk
        item.definite_date = item.definite_date or run.channel_date
    else:
        item.definite_run_id = item.definite_date = None
    item.cleared_run_id = item.cleared_date = None


def _item(run: ReconRun, difference: Difference, replaces: OpenItem | None) -> OpenItem:
    own, line = difference.own, difference.line
    definite = difference.state == ItemState.DEFINITE
    row: OwnRow | LineRow = own or line
    identity = identity_of(difference)
    return OpenItem(
        contract=run.contract,
        side=difference.side,
        result=difference.result,
        state=difference.state,
        match_key=row.key,
        kind=row.kind,
        transaction_id=own.id if own else None,
        bill_line_id=line.id if line else None,
        own_amount=own.value if own else 0,
        channel_amount=line.sign * line.amount if line else 0,
        d=difference.d,
        fee_claim=difference.fee_claim,
        currency=run.contract.currency,
        identity=identity if replaces is None else f"{base_of(identity)}~{run.run_no}",
        first_date=run.channel_date,
        first_run=run,
        definite_date=run.channel_date if definite else None,
        definite_run=run if definite else None,
        evidence=_evidence(run, difference),
    )


def _evidence(run: ReconRun, difference: Difference) -> dict:
    own = difference.own or difference.related
    return {
        "own": own.evidence() if own else None,
        "channel": difference.line.evidence() if difference.line else None,
        "run": run.pk,
    }


def _pool(run: ReconRun, before: Before, outcome: Outcome) -> None:
    """Items of other days: cleared, made definite or dropped by this run, or put back where it no longer does so."""
    for clearing in outcome.cleared:
        _clear(run, clearing)
    for group in outcome.groups:
        _clear_grouped(run, group)
    for pooled in outcome.definite:
        item = pooled.item
        item.state = ItemState.DEFINITE
        item.definite_run, item.definite_date = run, run.channel_date
        item.result = ResultKind.OWN_ONLY if item.side == ItemSide.OWN else ResultKind.CHANNEL_ONLY
    for pooled in outcome.dropped:
        pooled.item.state = ItemState.WITHDRAWN
    for pooled in outcome.gone:
        # Another day's run booked it: this day's run takes it out again, as if its other half had come.
        pooled.item.state = ItemState.CLEARED
        pooled.item.cleared_run, pooled.item.cleared_date = run, run.channel_date
    for item in before.replaced:
        item.state = ItemState.CLEARED
        item.cleared_run, item.cleared_date = run, run.channel_date
    tried = [*(pooled.item for pooled in before.pool), *before.pairs]
    changed = [item for item in tried if snapshot(item) != before.stored[item.pk]]
    grouped = {pooled.item.pk for group in outcome.groups for pooled in group.pooled}
    _cases_of_pool(run, before, changed, grouped)
    # Those that end before those that come back: a row has at most one live item.
    for item in sorted(changed, key=lambda changed_item: changed_item.state in LIVE):
        item_write(before, item)


def _clear(run: ReconRun, clearing: Clearing) -> None:
    item = clearing.pooled.item
    item.state = ItemState.CLEARED
    item.cleared_run, item.cleared_date = run, run.channel_date
    item.transaction_id, item.bill_line_id = clearing.own.id, clearing.line.id


def _clear_grouped(run: ReconRun, group: Grouped) -> None:
    for pooled in group.pooled:
        item = pooled.item
        item.state = ItemState.CLEARED
        item.cleared_run, item.cleared_date = run, run.channel_date
        if group.kind and item.side == ItemSide.OWN:
            item.bill_line_id = group.lines[0].id
        elif group.kind:
            item.transaction_id = group.own[0].id


def _cases_of_pool(run: ReconRun, before: Before, changed: list[OpenItem], grouped: set[int]) -> None:
    cleared, definite = [], []
    for item in changed:
        was = before.stored[item.pk][0]
        if item.state in (ItemState.CLEARED, ItemState.WITHDRAWN):
            if item.case_id and _case_open(item) and item.transaction_id is None and item.pk not in grouped:
                cases.case_withdraw(case_id=item.case_id, note=_("A new run no longer finds this difference."))
            elif item.case_id and _case_open(item):
                cleared.append(item.case_id)
        elif item.state == ItemState.DEFINITE and (was != ItemState.DEFINITE or not _case_open(item)):
            definite.append(item)
        elif item.state == ItemState.IN_DOUBT and item.case_id and _case_open(item):
            cases.case_withdraw(case_id=item.case_id, note=_("No longer a difference by run %d.") % run.pk)
    cases.cases_auto_clear_many(cleared, note=_("The other half arrived."), run_id=run.pk)
    for item, case in zip(definite, cases.cases_open_many(_findings(definite)), strict=True):
        item.case = case
        OpenItem.objects.filter(pk=item.pk).update(case=case)


def _withdraw(before: Before, kept: set[int]) -> None:
    """Differences of earlier runs of this day that are no longer found."""
    for item in before.redo.values():
        if item.pk in kept or item.state == ItemState.WITHDRAWN:
            continue
        item.state = ItemState.WITHDRAWN
        item.cleared_run_id = item.cleared_date = None
        item_write(before, item)
        if _case_open(item):
            cases.case_withdraw(case_id=item.case_id, note=_("A new run no longer finds this difference."))


# --- cases ------------------------------------------------------------------------------------------------------------


def _open_cases(pairs: Placed) -> None:
    """A case for each item, set on it."""
    reasons = {id(item): difference.reason for difference, item in pairs}
    items = [item for _difference, item in pairs]
    for item, case in zip(items, cases.cases_open_many(_findings(items, reasons)), strict=True):
        item.case = case


def _findings(items: list[OpenItem], reasons: dict[int, str] | None = None) -> list[dict]:
    numbers = {item.evidence["own"]["merchant_no"] for item in items if item.evidence.get("own")}
    merchants = {m.merchant_no: m for m in Merchant.objects.filter(merchant_no__in=numbers)}
    return [_finding(item, merchants, (reasons or {}).get(id(item), "")) for item in items]


def _finding(item: OpenItem, merchants: dict[str, Merchant], reason: str) -> dict:
    own, channel = item.evidence.get("own"), item.evidence.get("channel")
    amount = -item.fee_claim if item.result == ResultKind.FEE else item.d
    return {
        "dedupe_key": f"{item.contract_id}:{item.first_date:%y%m%d}:{item.identity}",
        "kind": CASE_KINDS[item.result],
        "reason_code": reason,
        "amount": amount,
        "suspense": amount,
        "currency": item.currency,
        "business_date": item.first_date,
        "contract": item.contract,
        "merchant": merchants.get(own["merchant_no"]) if own else None,
        "transaction_id": int(own["id"]) if own else None,
        "bill_line_id": int(channel["id"]) if channel else None,
        "evidence": item.evidence,
    }


# --- links and results ------------------------------------------------------------------------------------------------


def _links(run: ReconRun, before: Before, outcome: Outcome) -> None:
    """One row per match across days: the unique columns make a second claim of either half impossible."""
    MatchLink.objects.filter(transaction_id__in=before.unlinked).delete()
    pairs = {(clearing.own.id, clearing.line.id): clearing for clearing in outcome.cleared}
    MatchLink.objects.bulk_create(
        [
            MatchLink(contract=run.contract, transaction_id=own, bill_line_id=line, run=run, why="carried")
            for own, line in pairs
        ],
        batch_size=BATCH,
    )


def _results(run: ReconRun, before: Before, outcome: Outcome, new: list[tuple[Difference, OpenItem]]) -> None:
    rows = [_result(run, item.result, difference.own, difference.line, item.d, item) for difference, item in new]
    for clearing in outcome.cleared:
        rows.append(
            _result(run, clearing.result, clearing.own, clearing.line, clearing.pooled.item.d, clearing.pooled.item)
        )
    for pooled in outcome.definite:
        rows.append(_result(run, pooled.item.result, pooled.own, pooled.line, pooled.item.d, pooled.item))
    failed_now = {own.id: own for own in (*outcome.set_failed, *outcome.refunds_failed)}
    failed = {**_failed_by_earlier_runs(run, outcome), **failed_now}
    rows += [_result(run, ResultKind.FAILED, own, None, 0) for own in failed.values()]
    for group in outcome.groups:
        rows += _group_results(run, group)
    rows += [_by_hand_result(run, item) for item, _group in before.by_hand.of_day]
    ReconResult.objects.bulk_create(rows, batch_size=BATCH)


def _group_results(run: ReconRun, group: Grouped) -> list[ReconResult]:
    """One row per member; an item of an earlier day shows what it was cleared of."""
    own = {pooled.own.id: pooled.item for pooled in group.pooled if pooled.own}
    lines = {pooled.line.id: pooled.item for pooled in group.pooled if pooled.line}
    rows = []
    for row in group.own:
        item = own.get(row.id)
        rows.append(_result(run, group.result, row, None, item.d if item else 0, item))
    for line in group.lines:
        item = lines.get(line.id)
        rows.append(_result(run, group.result, None, line, item.d if item else 0, item))
    return rows


def _by_hand_result(run: ReconRun, item: OpenItem) -> ReconResult:
    return ReconResult(
        run=run,
        kind=ResultKind.BY_HAND,
        item=item,
        case_id=item.case_id,
        match_key=item.match_key,
        transaction_id=item.transaction_id,
        bill_line_id=item.bill_line_id,
        own_amount=item.own_amount,
        channel_amount=item.channel_amount,
        d=item.d,
        detail={"first_date": item.first_date.isoformat()},
    )


def _failed_by_earlier_runs(run: ReconRun, outcome: Outcome) -> dict[int, OwnRow]:
    """Orders an earlier run of this day set failed, and that still are: a repeated run tells the same story."""
    known = ReconResult.objects.filter(
        run__contract=run.contract,
        run__channel_date=run.channel_date,
        run__batch=run.batch,
        kind=ResultKind.FAILED,
    ).values_list("transaction_id", flat=True)
    recovered = {own.id for own, _line in outcome.recovered}
    return {pk: own for pk, own in own_rows_of(set(known)).items() if not own.counts and pk not in recovered}


def _result(
    run: ReconRun,
    kind: str,
    own: OwnRow | None,
    line: LineRow | None,
    d: int,
    item: OpenItem | None = None,
) -> ReconResult:
    return ReconResult(
        run=run,
        kind=kind,
        item=item,
        case_id=item.case_id if item else None,
        match_key=(own or line).key,
        transaction_id=own.id if own else None,
        bill_line_id=line.id if line else None,
        own_amount=own.value if own else 0,
        channel_amount=line.sign * line.amount if line else 0,
        own_fee=own.expected_cost if own else 0,
        channel_fee=line.fee if line else 0,
        d=d,
        detail={"first_date": item.first_date.isoformat()} if item else {},
    )
