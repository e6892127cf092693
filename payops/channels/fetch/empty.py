"""Channel days without a bill. "No bill" is an answer, and only sometimes an empty day.

It counts as one by itself from the source's time on, when the answer is the channel's own and we have no success of
ours that day. Everything else is proposed by one person and decided by another ('channels.empty_day'). The day then has
an accepted file of zero lines, so that its run and its receipt work as on any day; a bill that comes later is its next
version.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from typing import Any, Final

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.bills.selectors import contract_by_code
from payops.channels.bills.services import LOCK
from payops.channels.choices import BillType, FileState
from payops.channels.fetch.models import EmptyDay
from payops.channels.models import BillFile, ChannelContract
from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.institution import SHANGHAI
from payops.core.locks import xact_lock
from payops.core.storage import keep
from payops.identity.models import User

ACTION: Final = "channels.empty_day"
TARGET: Final = "channels.emptyday"
ZERO: Final = {"count": 0, "amount": 0, "settled": 0, "fee": 0}

_own_counts: list[Callable[[ChannelContract, dt.date], int]] = []


def register_own_count(count: Callable[[ChannelContract, dt.date], int]) -> None:
    """`count(contract, day)` answers how many successes of our own a channel day has; orders knows."""
    if count not in _own_counts:
        _own_counts.append(count)


def own_successes(contract: ChannelContract, day: dt.date) -> int:
    """How many movements of our own count on that channel day."""
    return sum(count(contract, day) for count in _own_counts)


def _standing(contract: ChannelContract, day: dt.date) -> BillFile | None:
    files = BillFile.objects.filter(contract=contract, channel_date=day, batch=1, bill_type=BillType.TRADE)
    return files.exclude(state=FileState.REJECTED).order_by("version").last()


@transaction.atomic
def empty_day_declare(
    *,
    contract: ChannelContract,
    day: dt.date,
    answer: bytes,
    reason: str,
    by: str,
    approval: ApprovalRequest | None = None,
) -> BillFile:
    """Let a day count as one without trades; a file that is there already comes back instead.

    Raises PayopsError 'fetch.own_successes' when the day has successes of ours and nobody approved.
    """
    xact_lock(LOCK, f"{contract.pk}/{day}/1")
    standing = _standing(contract, day)
    if standing is not None:
        return standing
    own = own_successes(contract, day)
    if own and approval is None:
        raise PayopsError(
            "fetch.own_successes",
            _("%(count)d successes of ours stand against an empty day. Ask the channel, or propose the empty day.")
            % {"count": own},
            {"count": own},
        )
    name = f"no-bill-{contract.code}-{day.isoformat()}.txt"
    stored = keep(io.BytesIO(answer), name=name)
    versions = BillFile.objects.filter(contract=contract, channel_date=day, batch=1, bill_type=BillType.TRADE)
    bill_file = BillFile.objects.create(
        contract=contract,
        channel_date=day,
        bill_type=BillType.TRADE,
        bill_format=contract.bill_format,
        version=(versions.aggregate(last=Max("version"))["last"] or 0) + 1,
        state=FileState.ACCEPTED,
        original_name=name[-200:],
        stored_path=stored.path,
        sha256=stored.sha256,
        size=stored.size,
        source="empty day",
        received_by=by,
        totals={"all": ZERO, "control": [], "warnings": [{"code": "bill.empty_day", "message": reason}]},
        decided_at=timezone.now(),
    )
    EmptyDay.objects.create(
        contract=contract,
        channel_date=day,
        bill_file=bill_file,
        own_count=own,
        reason=reason,
        declared_by=by,
        approval=approval,
    )
    audit.record(
        username=by or "system",
        action="channels.empty_day",
        object_kind="channels.billfile",
        object_id=bill_file.pk,
        detail={"contract": contract.code, "day": day.isoformat(), "own": own},
    )
    return bill_file


def empty_day_propose(*, contract: ChannelContract, day: dt.date, reason: str, maker: User) -> ApprovalRequest:
    """Propose that a past day has no bill; PayopsError 'fetch.bad_day' where there is nothing to propose."""
    if day >= timezone.now().astimezone(SHANGHAI).date():
        raise PayopsError("fetch.bad_day", _("The day is not over yet."), {"field": "day"})
    standing = _standing(contract, day)
    if standing is not None:
        raise PayopsError(
            "fetch.bad_day",
            _("%(day)s has a file already: %(name)s.") % {"day": day.isoformat(), "name": standing.original_name},
            {"field": "day"},
        )
    payload = {"contract": contract.code, "day": day.isoformat(), "own": own_successes(contract, day)}
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=f"{contract.code}/{day.isoformat()}",
        payload=payload,
        amount=None,
        currency=contract.currency,
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
    )


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """What we have of the day: our own successes and any file."""
    code, _slash, day_text = target_id.partition("/")
    contract, day = contract_by_code(code), dt.date.fromisoformat(day_text)
    standing = _standing(contract, day)
    return f"{own_successes(contract, day)}|{standing.pk if standing else None}"


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    contract, day = contract_by_code(request.payload["contract"]), dt.date.fromisoformat(request.payload["day"])
    answer = {**request.payload, "request": request.pk, "reason": request.reason}
    bill_file = empty_day_declare(
        contract=contract,
        day=day,
        answer=json.dumps(answer, ensure_ascii=False, sort_keys=True).encode(),
        reason=request.reason,
        by=request.maker.username,
        approval=request,
    )
    return {"bill_file": bill_file.pk}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    rows: list[tuple[Any, Any]] = [
        (_("Channel"), payload["contract"]),
        (_("Channel date"), payload["day"]),
        (_("Own successes"), f"{payload['own']:,}"),
        (_("Then"), _("The day has a bill of zero lines; each success of ours becomes a difference of its run.")),
    ]
    return Description(_title(payload), "console:file_source_list", (), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("Empty day %(day)s of %(channel)s") % {"day": payload["day"], "channel": payload["contract"]}
