"""Taking an internal offset back, by maker and checker ('reconciliation.offset_undo').

A run lets two rows of one side that take each other back leave without a case. Where they do not belong together, two
people keep them apart: the day is run again and finds each of them alone, and so does every run after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description
from payops.approvals.services import request_submit
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.locks import xact_lock
from payops.identity.models import User
from payops.reconciliation.choices import ItemSide, ResultKind, RunState
from payops.reconciliation.matching.approval import register_match_action
from payops.reconciliation.matching.groups import line_offsets, own_offsets
from payops.reconciliation.matching.models import KeptApart
from payops.reconciliation.matching.undo import DUPLICATES, later_items, refuse_dependents, refuse_newer_bill
from payops.reconciliation.models import ReconRun
from payops.reconciliation.rows import LineRow, OwnRow, line_rows_of, own_rows_of
from payops.reconciliation.selectors import current_run

ACTION: Final = "reconciliation.offset_undo"
TARGET: Final = "reconciliation.offset"


@dataclass(frozen=True, slots=True)
class Offset:
    """Two rows of one side that cancel each other in a run: what brought money, and what took it back."""

    side: ItemSide
    rows: tuple[OwnRow, OwnRow] | tuple[LineRow, LineRow]

    @property
    def target(self) -> str:
        """What a request about it is about."""
        return f"{self.side.value}:{self.rows[0].id}:{self.rows[1].id}"


def kept_apart(contract: ChannelContract) -> frozenset[frozenset[str]]:
    """Names of the contract's pairs that are no offset."""
    pairs = KeptApart.objects.filter(contract=contract).values_list("one", "other")
    return frozenset(frozenset(pair) for pair in pairs)


def offsets_of(run: ReconRun) -> list[Offset]:
    """The offsets a run found, as pairs."""
    results = run.result_rows.filter(kind=ResultKind.OFFSET)
    own = own_rows_of(results.exclude(transaction_id=None).values_list("transaction_id", flat=True))
    lines = line_rows_of(results.exclude(bill_line_id=None).values_list("bill_line_id", flat=True), run.contract)
    apart = kept_apart(run.contract)
    return [
        *(Offset(ItemSide.OWN, tuple(group.own)) for group in own_offsets(own.values(), [], apart)),
        *(Offset(ItemSide.CHANNEL, tuple(group.lines)) for group in line_offsets(lines.values(), [], apart)),
    ]


def offset_undo_check(*, run_id: int, target: str, lock: bool = False) -> tuple[ReconRun, Offset, Sequence[date]]:
    """The run, the offset, and the days to run again after it.

    Raises PayopsError 'matching.no_offset' where the run that counts has no such offset, and what taking a match by
    hand back raises for what rests on it.
    """
    run = ReconRun.objects.select_related("contract").filter(pk=run_id, state=RunState.COMPLETE).first()
    found = next((each for each in offsets_of(run) if each.target == target), None) if run else None
    if run is None or found is None or not run.is_current:
        raise PayopsError(
            "matching.no_offset", _("The run that counts has no such offset any more. Look again."), {"run": run_id}
        )
    refuse_newer_bill(run.contract, run)
    of_day = ReconRun.objects.filter(contract=run.contract, channel_date=run.channel_date, batch=run.batch)
    first = of_day.filter(state=RunState.COMPLETE).order_by("pk")[0]
    about = Q(pk__in=[])
    for row in found.rows:
        about |= Q(result__in=DUPLICATES, match_key=row.key, kind=row.kind)
    later = later_items(about, run.contract, first)
    own = [row.id for row in found.rows] if found.side == ItemSide.OWN else []
    refuse_dependents([], own, first.started_at, lock=lock)
    return run, found, sorted({item.first_date for item in later} - {run.channel_date})


@transaction.atomic
def offset_undo_propose(*, run_id: int, target: str, reason: str, maker: User) -> ApprovalRequest:
    """Propose that two rows are no offset; raises what `offset_undo_check` and `request_submit` raise."""
    run, offset, _later = offset_undo_check(run_id=run_id, target=target)
    payload = {
        "channel": run.contract.code,
        "run": run.pk,
        "day": run.channel_date.isoformat(),
        "side": offset.side.value,
        "offset": target,
        "names": sorted(row.name for row in offset.rows),
        "rows": [{"row": row.id, "key": row.key, "amount": row.sign * row.amount} for row in offset.rows],
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=target,
        payload=payload,
        amount=offset.rows[0].amount,
        currency=run.contract.currency,
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_match_action(ACTION, execute=_execute, fingerprint=_fingerprint, describe=_describe)


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """The rows themselves; whether the run that counts still offsets them is asked when it is approved."""
    return target_id


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Keep the pair apart, then run the day again: each row is a difference of its own, booked by its totals."""
    from payops.reconciliation.services import LOCK, run_reconcile

    payload = request.payload
    xact_lock(LOCK, payload["channel"])
    proposed_on = _run_that_counts(payload)
    run, offset, later = offset_undo_check(run_id=proposed_on.pk, target=payload["offset"], lock=True)
    one, other = payload["names"]
    KeptApart.objects.create(
        contract=run.contract,
        side=offset.side,
        one=one,
        other=other,
        approval_id=request.pk,
        made_by=request.maker.username,
    )
    for day in (run.channel_date, *later):
        run_reconcile(contract=run.contract, day=day, batch=run.batch, username=request.checker.username)
    again = current_run(run.contract, run.channel_date, run.batch)
    if any(each.target == offset.target for each in offsets_of(again)):
        raise PayopsError("matching.not_undone", _("The run did not open these items again. Nothing was booked."))
    return {"run": again.pk}


def _run_that_counts(payload: dict[str, Any]) -> ReconRun:
    """A repeated run finds the same offset: the proposal is about the rows and the day, not about one run."""
    was = ReconRun.objects.get(pk=payload["run"])
    same = ReconRun.objects.filter(contract=was.contract_id, channel_date=was.channel_date, batch=was.batch)
    return same.get(is_current=True)


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    rows: list[tuple[Any, Any]] = [
        (_("Channel"), payload["channel"]),
        (_("Channel date"), payload["day"]),
        (_("Then"), _("The day is run again: each of them is a difference of its own, in suspense and with a case.")),
    ]
    return Description(_title(payload), "console:run_offset_list", (payload["run"],), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("%(key)s of %(channel)s is no offset") % {
        "key": payload["rows"][0]["key"],
        "channel": payload["channel"],
    }
