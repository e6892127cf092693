"""New versions of posting rules by maker and checker ('ledger.posting_rule'), in force from a later accounting day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted, normalised
from payops.accounts.choices import LINE_EVENTS, Event
from payops.accounts.models import PostingRule
from payops.accounts.rule_preview import rule_difference
from payops.accounts.rules import posting_rule_create, refuse_day_begun, rule_lines_check
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.retelling import retold
from payops.identity.models import User

ACTION = "ledger.posting_rule"
TARGET = "posting_event"


def newest_version(event: int) -> PostingRule | None:
    """The version of the event's rule that was made last, in force or not yet."""
    return PostingRule.objects.filter(event=event).order_by("-version").first()


def posting_rule_propose(
    *,
    event: int,
    lines: Sequence[Mapping[str, Any]],
    effective_day: dt.date,
    summary: str,
    reason: str,
    maker: User,
) -> ApprovalRequest:
    """Propose a new version of an event's rule.

    Raises what `rule_lines_check` raises, 'rules.too_early', 'rules.event' (its lines come with the document),
    'rules.same' and what `request_submit` raises.
    """
    if event not in Event.values or event in LINE_EVENTS:
        raise PayopsError("rules.event", _("Event “%(event)s” has no posting rule.") % {"event": event})
    rule_lines_check(lines)
    refuse_day_begun(effective_day)
    wanted = [
        {
            "side": str(line["side"]),
            "subject": dotted(normalised(str(line["subject"]))),
            "owner": str(line["owner"]),
            "amount": str(line["amount"]).strip(),
        }
        for line in lines
    ]
    before = newest_version(event)
    if before is not None and before.lines == wanted:
        raise PayopsError(
            "rules.same",
            _("These are the lines of version %(version)d; nothing would change.") % {"version": before.version},
            {"version": before.version},
        )
    payload = {
        "event": int(event),
        "lines": wanted,
        "effective_day": effective_day.isoformat(),
        "summary": summary.strip() or (before.summary if before else str(Event(event).label)),
        "before": before.lines if before else [],
        "version": before.version + 1 if before else 1,
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=int(event),
        payload=payload,
        amount=None,
        currency="",
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
    """Another version made meanwhile changes what the new one is compared with."""
    rule = newest_version(int(target_id))
    return str(rule.version if rule else 0)


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    payload = request.payload
    effective_day = parse_date(payload["effective_day"])
    if effective_day is None:
        raise PayopsError("rules.too_early", _("The proposal has no day to begin on."))
    rule = posting_rule_create(
        event=payload["event"],
        lines=payload["lines"],
        effective_day=effective_day,
        summary=payload["summary"],
        created_by=request.maker.username,
    )
    return {"rule": rule.pk, "version": rule.version}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    rows: list[tuple[Any, Any]] = [
        (_("Event"), f"{payload['event']} {Event(payload['event']).label}"),
        (_("Version"), payload["version"]),
        (_("Effective from"), payload["effective_day"]),
        (_("Summary text"), retold(payload["summary"])),
    ]
    names = {"+": _("Added"), "−": _("Taken away"), " ": _("Kept")}
    rows += [(names[sign], text) for sign, text in rule_difference(payload["before"], payload["lines"])]
    newest = newest_version(payload["event"])
    target = ("console:posting_rule", (newest.pk,)) if newest else ("console:posting_rule_list", ())
    return Description(_title(payload), *target, rows)


def _title(payload: Mapping[str, Any]) -> str:
    return _("Posting rule of %(event)s, version %(version)d") % {
        "event": Event(payload["event"]).label,
        "version": payload["version"],
    }
