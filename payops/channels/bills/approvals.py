"""The decision over a held bill file: accept it without its unreadable lines, by maker and checker (DOMAIN 6)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.channels.bills.differences import version_to_compare
from payops.channels.bills.selectors import left_out
from payops.channels.bills.services import bill_accept_without_bad_lines
from payops.channels.choices import FileState
from payops.channels.mapping.notation import FIGURE_LABELS
from payops.channels.models import BillFile
from payops.core.money import format_amount

ACTION = "channels.bill_accept_held"
TARGET_KIND = "channels.billfile"


def register() -> None:
    """Called once, when the app is ready."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
    )


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    bill_file = bill_accept_without_bad_lines(
        bill_file_id=int(request.target_id), user=getattr(request.checker, "username", str(request.checker))
    )
    return {"bill_file": bill_file.pk, "state": bill_file.state}


def _fingerprint(target_kind: str, target_id: str) -> str:
    bill_file = BillFile.objects.get(pk=int(target_id))
    facts = [bill_file.state, bill_file.sha256, bill_file.version, bill_file.line_count, bill_file.bad_lines]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def left_out_text(bill_file: BillFile) -> str:
    """What the unreadable lines hold, figure by figure, or that nobody can know."""
    figures = left_out(bill_file)
    if not figures:
        return _("unknown: the file states no total that would tell")
    currency = bill_file.contract.currency
    return ", ".join(
        f"{FIGURE_LABELS.get(figure.name, figure.name)} "
        f"{figure.missing if figure.unit == 'count' else format_amount(figure.missing, currency)}"
        for figure in figures
    )  # fmt: skip


def _describe(request: ApprovalRequest) -> Description:
    bill_file = BillFile.objects.select_related("contract").get(pk=int(request.target_id))
    totals = bill_file.totals.get("all", {})
    currency = bill_file.contract.currency
    rows: list[tuple[Any, Any]] = [
        (gettext_lazy("Channel"), bill_file.contract.code),
        (gettext_lazy("Channel date"), bill_file.channel_date.isoformat()),
        (gettext_lazy("File"), f"{bill_file.original_name} v{bill_file.version}"),
        (gettext_lazy("Lines without the unreadable ones"), str(bill_file.line_count)),
        (gettext_lazy("Settled amount without them"), format_amount(totals.get("settled", 0), currency)),
        (gettext_lazy("Left out by the file's own totals"), left_out_text(bill_file)),
    ]
    replaced = version_to_compare(bill_file)
    if replaced is not None and replaced.state == FileState.ACCEPTED:
        rows.append((gettext_lazy("Replaces version"), str(replaced.version)))
    rows.extend(
        (_("Line %s") % line["line_no"], f"{line['message']} {line['raw'][:200]}") for line in bill_file.bad_lines[:20]
    )
    return Description(
        title=_("Accept a bill without %d unreadable lines") % len(bill_file.bad_lines),
        url_name="console:bill_file",
        url_args=(bill_file.pk,),
        rows=rows,
    )
