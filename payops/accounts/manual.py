"""Manual vouchers: entered by one person, booked once when another approves them (DOMAIN 4.2).

For what no event books: bank interest and charges, transfers between bank accounts. Suspense, channel pending clearing
and money in flight have registers of their own and are never moved by hand (DOMAIN 8).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted, normalised, read_yaml
from payops.accounts.choices import AccountStatus, DocumentState, Element, Event, OwnerKind, Side
from payops.accounts.documents import account_find, next_numbers
from payops.accounts.errors import guard_errors
from payops.accounts.guards import DAY_LOCK
from payops.accounts.guards_registers import KEPT_BY_REGISTERS
from payops.accounts.lines import LARGEST_VOUCHER, LinesPosting, RawLine, post_lines
from payops.accounts.models import Account, ManualVoucher
from payops.accounts.posting import account_closed, open_accounting_day
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import LARGE_AMOUNT, Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.ids import day_code
from payops.core.locks import xact_lock
from payops.core.money import amount_in_capitals, format_amount
from payops.core.storage import Stored, keep
from payops.identity.models import User

ACTION: Final = "ledger.manual_voucher"
TARGET_ONE: Final = "manual_voucher"
TARGET_BATCH: Final = "manual_batch"
SOURCE_KIND: Final = "manual_voucher"
MAKER: Final = "ledger.correct"
CHECKER: Final = "adjustments.approve"
ATTACHMENT_LIMIT: Final = 10 * 1024**2
ATTACHMENT_BEGINNINGS: Final[dict[str, tuple[bytes, ...]]] = {
    ".pdf": (b"%PDF-",),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".xlsx": (b"PK\x03\x04",),
    ".zip": (b"PK\x03\x04",),
}
"""What may be attached, and how such a file begins: the name alone proves nothing."""
LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class ManualLine:
    """One line as a person writes it: account number (or subject and owner), side D or C, minor units > 0."""

    account: str
    side: str
    amount: int


@dataclass(frozen=True, slots=True)
class ManualDraft:
    """One manual voucher before it is proposed; amounts in minor units of `currency`."""

    memo: str
    business_date: dt.date
    lines: Sequence[ManualLine]
    currency: str = "CNY"
    template: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A template: its lines as side, subject and owner kind."""

    code: str
    name: str
    memo: str
    lines: tuple[Mapping[str, str], ...]


# --- templates --------------------------------------------------------------------------------------------------------


def templates() -> list[Template]:
    """The templates of `fixtures/manual_templates.yaml`, names and memos in the reader's language."""
    rows = read_yaml(Path(settings.BASE_DIR) / "fixtures" / "manual_templates.yaml")
    spoken = "_zh" if (get_language() or "").startswith("zh") else ""
    return [Template(row["code"], row[f"name{spoken}"], row[f"memo{spoken}"], tuple(row["lines"])) for row in rows]


def template_get(code: str) -> Template | None:
    """One template by its code."""
    return next((template for template in templates() if template.code == code), None)


def template_account(line: Mapping[str, str], currency: str = "CNY") -> str:
    """The number of the only open account a template's line can mean, else its subject for the person to complete."""
    rows = Account.objects.filter(
        subject__code=normalised(line["subject"]), owner_kind=OwnerKind(line["owner"]), currency=currency
    ).exclude(status=AccountStatus.CLOSED)
    numbers = list(rows.values_list("account_no", flat=True)[:2])
    return numbers[0] if len(numbers) == 1 else f"{line['subject']} "


# --- checking ---------------------------------------------------------------------------------------------------------


def draft_checked(draft: ManualDraft) -> list[RawLine]:
    """The lines of a draft with their account numbers, when it may be proposed.

    Raises PayopsError 'manual.memo', '.business_date', '.lines', '.amount', '.side', '.unbalanced', '.registered',
    '.memorandum', '.currency', 'ledger.unknown_account', 'ledger.account_unclear', 'ledger.account_closed'; the
    context names the `line` (1…n) where one line is to blame.
    """
    if not draft.memo.strip():
        raise PayopsError("manual.memo", _("Say in the memo what the voucher is for."))
    if draft.business_date > open_accounting_day():
        raise PayopsError(
            "manual.business_date",
            _("The business date %(date)s has not come yet; the open accounting day is %(day)s.")
            % {"date": draft.business_date, "day": open_accounting_day()},
        )
    if not 1 <= len(draft.lines) <= LARGEST_VOUCHER:
        raise PayopsError("manual.lines", _("A voucher has from 1 to %(most)d lines.") % {"most": LARGEST_VOUCHER})
    accounts = [_checked(number, line, draft.currency) for number, line in enumerate(draft.lines, start=1)]
    _refuse_unbalanced(draft, accounts)
    return [
        RawLine(account.account_no, line.side, line.amount) for account, line in zip(accounts, draft.lines, strict=True)
    ]


def _checked(number: int, line: ManualLine, currency: str) -> Account:
    def refuse(code: str, message: str) -> PayopsError:
        return PayopsError(code, message, {"line": number, "account_no": line.account})

    if line.side not in Side.values:
        raise refuse("manual.side", _("The side of a line is D (debit) or C (credit), not “%s”.") % line.side)
    if line.amount <= 0:
        raise refuse("manual.amount", _("The amount of a line must be above zero."))
    try:
        account = account_find(line.account, currency)
    except PayopsError as error:
        raise PayopsError(error.code, error.message, {**error.context, "line": number}) from error
    if account.status == AccountStatus.CLOSED:
        raise PayopsError("ledger.account_closed", account_closed(account.account_no).message, {"line": number})
    if account.currency != currency:
        raise refuse(
            "manual.currency",
            _("Account %(account)s is kept in %(kept)s, the voucher is in %(currency)s.")
            % {"account": account.account_no, "kept": account.currency, "currency": currency},
        )
    if account.subject.code in KEPT_BY_REGISTERS:
        raise refuse(
            "manual.registered",
            _("%(account)s is not moved by hand: what stands on %(subject)s is worked as cases, refunds or payouts.")
            % {"account": account.account_no, "subject": dotted(account.subject.code)},
        )
    return account


def _refuse_unbalanced(draft: ManualDraft, accounts: list[Account]) -> None:
    memorandum = {account.subject.element == Element.MEMO for account in accounts}
    if memorandum == {True}:
        return
    if len(memorandum) > 1:
        raise PayopsError("manual.memorandum", _("Memorandum accounts stand in vouchers of their own."))
    totals = {side: sum(line.amount for line in draft.lines if line.side == side) for side in Side.values}
    if totals["D"] != totals["C"]:
        raise PayopsError(
            "manual.unbalanced",
            _("Debits come to %(debit)s, credits to %(credit)s %(currency)s: they must be equal.")
            % {
                "debit": format_amount(totals["D"], draft.currency),
                "credit": format_amount(totals["C"], draft.currency),
                "currency": draft.currency,
            },
            {"debit": totals["D"], "credit": totals["C"]},
        )


def attachment_keep(stream: BinaryIO, name: str) -> Stored:
    """Keep an attachment; PayopsError 'manual.attachment' for a kind of file that is not taken, 'files.too_large'."""
    beginnings = ATTACHMENT_BEGINNINGS.get(Path(name).suffix.lower())
    head = stream.read(16)
    stream.seek(0)
    if beginnings is None or not head.startswith(beginnings):
        raise PayopsError(
            "manual.attachment",
            _("“%(name)s” is not a file that can be attached. Attach one of: %(kinds)s.")
            % {"name": name, "kinds": ", ".join(kind[1:] for kind in ATTACHMENT_BEGINNINGS)},
            {"name": name},
        )
    return keep(stream, name=name, limit=ATTACHMENT_LIMIT)


# --- proposing --------------------------------------------------------------------------------------------------------


@transaction.atomic
def manual_voucher_propose(
    *, draft: ManualDraft, user: User, attachment: Stored | None = None, attachment_name: str = ""
) -> ManualVoucher:
    """Propose one manual voucher; raises what `draft_checked` and `request_submit` refuse with."""
    (document,) = _documents([draft], user, "", attachment, attachment_name)
    request = _submit([document], TARGET_ONE, document.number, user)
    document.approval = request
    document.save(update_fields=["approval"])
    return document


@transaction.atomic
def manual_batch_propose(
    *, drafts: Sequence[ManualDraft], user: User, attachment: Stored | None = None, attachment_name: str = ""
) -> ApprovalRequest:
    """Propose many manual vouchers as one request with totals: all are booked, or none.

    Raises PayopsError 'manual.batch_empty', 'manual.batch_currencies' and what a single draft is refused for.
    """
    if not drafts:
        raise PayopsError("manual.batch_empty", _("There is no voucher in the batch."))
    if len({draft.currency for draft in drafts}) > 1:
        raise PayopsError("manual.batch_currencies", _("A batch is in one currency, so that it has one total."))
    (batch_no,) = next_numbers("MB", open_accounting_day())
    documents = _documents(drafts, user, batch_no, attachment, attachment_name)
    request = _submit(documents, TARGET_BATCH, batch_no, user)
    ManualVoucher.objects.filter(batch_no=batch_no).update(approval=request)
    return request


def _documents(
    drafts: Sequence[ManualDraft], user: User, batch_no: str, attachment: Stored | None, attachment_name: str
) -> list[ManualVoucher]:
    numbers = next_numbers("MV", open_accounting_day(), len(drafts))
    rows = []
    for number, draft in zip(numbers, drafts, strict=True):
        lines = draft_checked(draft)
        debit = sum(line.amount for line in lines if line.side == Side.DEBIT)
        rows.append(
            ManualVoucher(
                number=number,
                template=draft.template,
                memo=draft.memo.strip()[:200],
                business_date=draft.business_date,
                lines=[{"account": line.account_no, "side": line.side, "amount": line.amount} for line in lines],
                # A memorandum voucher may stand on the credit side alone.
                amount=debit or sum(line.amount for line in lines),
                currency=draft.currency,
                attachment_name=attachment_name[:200] if attachment else "",
                attachment_path=attachment.path if attachment else "",
                attachment_sha256=attachment.sha256 if attachment else "",
                batch_no=batch_no,
                proposed_by=user,
            )
        )
    return ManualVoucher.objects.bulk_create(rows)


def _submit(documents: list[ManualVoucher], kind: str, target_id: str, user: User) -> ApprovalRequest:
    first = documents[0]
    total = sum(document.amount for document in documents)
    return request_submit(
        action=ACTION,
        target_kind=kind,
        target_id=target_id,
        payload={
            "currency": first.currency,
            "count": len(documents),
            "total": total,
            "vouchers": [
                {
                    "document": document.pk,
                    "number": document.number,
                    "memo": document.memo,
                    "business_date": document.business_date,
                    "amount": document.amount,
                    "attachment": document.attachment_sha256,
                    "lines": document.lines,
                }
                for document in documents
            ],
        },
        amount=total,
        currency=first.currency,
        title=_title(kind, target_id, len(documents), total, first.currency),
        reason=first.memo if kind == TARGET_ONE else "",
        maker=user,
    )


def _title(kind: str, target_id: str, count: int, total: int, currency: str) -> str:
    what = _("manual voucher") if kind == TARGET_ONE else _("%(count)d manual vouchers") % {"count": count}
    return f"{target_id}: {what}, {format_amount(total, currency)} {currency}"


# --- booking ----------------------------------------------------------------------------------------------------------


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Book every voucher of an approved request; called in the transaction of the approval."""
    items = request.payload["vouchers"]
    ids = [item["document"] for item in items]
    documents = {each.pk: each for each in ManualVoucher.objects.select_for_update(no_key=True).filter(pk__in=ids)}
    with guard_errors():
        _hold({line["account"] for item in items for line in item["lines"]})
        made = []
        for item in items:
            document = documents[item["document"]]
            _refuse_changed(document, item)
            _refuse_instructions(document.lines)
            made.append(_book(document, request.checker.username))
    return {"vouchers": [{"number": document.number, "voucher": str(document.voucher_id)} for document in made]}


def _hold(numbers: Iterable[str]) -> None:
    """The day, then all accounts in their order: a batch waits for others once, and nobody waits for it in a circle."""
    xact_lock(DAY_LOCK, day_code(open_accounting_day()), shared=True)
    rows = Account.objects.filter(account_no__in=set(numbers)).order_by("id")
    list(rows.select_for_update(no_key=True).values_list("pk", flat=True))


def _refuse_changed(document: ManualVoucher, item: Mapping[str, Any]) -> None:
    """The fingerprint was compared a moment ago without the row's lock; under it nothing may differ."""
    if document.state != DocumentState.PROPOSED or document.lines != item["lines"]:
        raise PayopsError(
            "manual.changed",
            _("%(number)s is not what was proposed any more; nothing was booked.") % {"number": document.number},
            {"number": document.number},
        )


def _refuse_instructions(lines: Sequence[Mapping[str, Any]]) -> None:
    """A debit of a merchant's account by hand asks for money to move: restrictions and the available amount count.

    Credits are left alone: what arrives is never refused. The accounts are locked.
    """
    accounts = Account.objects.select_related("subject").in_bulk(
        [line["account"] for line in lines], field_name="account_no"
    )
    moved: dict[int, int] = defaultdict(int)
    for line in lines:
        account = accounts[line["account"]]
        moved[account.pk] += line["amount"] if line["side"] == account.subject.normal_side else -line["amount"]
    taken = {pk: delta for pk, delta in moved.items() if delta < 0}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts_refuse_restricted(%s::bigint[], %s::bigint[])", [list(taken), list(taken.values())]
        )


def _book(document: ManualVoucher, username: str) -> ManualVoucher:
    voucher = post_lines(
        LinesPosting(
            event=Event.MANUAL,
            source_kind=SOURCE_KIND,
            source_id=document.pk,
            lines=[RawLine(line["account"], line["side"], line["amount"]) for line in document.lines],
            business_date=document.business_date,
            memo=document.memo,
        ),
        posted_by=username,
    )
    document.state, document.booked_at, document.voucher_id = DocumentState.BOOKED, timezone.now(), voucher.pk
    document.save(update_fields=["state", "booked_at", "voucher_id"])
    return document


def _fingerprint(target_kind: str, target_id: str) -> str:
    """What the checker decides on: the documents and whether their accounts may still take the lines."""
    field = "number" if target_kind == TARGET_ONE else "batch_no"
    documents = list(ManualVoucher.objects.filter(**{field: target_id}).order_by("pk"))
    numbers = {line["account"] for document in documents for line in document.lines}
    closed = Account.objects.filter(account_no__in=numbers, status=AccountStatus.CLOSED)
    states = [(document.pk, document.state) for document in documents]
    return f"{states}|{sorted(closed.values_list('account_no', flat=True))}"


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    currency, items = payload["currency"], payload["vouchers"]
    rows: list[tuple[Any, Any]] = [
        (_("Manual vouchers"), payload["count"]),
        (_("Total"), f"{format_amount(payload['total'], currency)} {currency}"),
    ]
    if currency == "CNY":
        rows.append((_("Amount in capitals"), amount_in_capitals(payload["total"])))
    if len(items) == 1:
        (item,) = items
        rows += [(_("Memo"), item["memo"]), (_("Business date"), item["business_date"])]
        rows += [
            (f"{Side(line['side']).label} {line['account']}", format_amount(line["amount"], currency))
            for line in item["lines"][:LISTED]
        ]
    else:
        rows += [
            (item["number"], f"{format_amount(item['amount'], currency)} · {item['memo']}") for item in items[:LISTED]
        ]
    more = max(len(items), len(items[0]["lines"]) if len(items) == 1 else 0) - LISTED
    if more > 0:
        rows.append(("…", _("and %(count)d more") % {"count": more}))
    title = _title(request.target_kind, request.target_id, payload["count"], payload["total"], currency)
    if request.target_kind == TARGET_ONE:
        return Description(title, "console:manual_voucher", (items[0]["document"],), rows)
    return Description(title, "console:manual_batch", (request.target_id,), rows)


def _closed(request: ApprovalRequest) -> None:
    ids = [item["document"] for item in request.payload["vouchers"]]
    ManualVoucher.objects.filter(pk__in=ids, state=DocumentState.PROPOSED).update(state=DocumentState.REJECTED)


def batch_total(batch_no: str) -> int:
    """Debit total of a batch in minor units."""
    return ManualVoucher.objects.filter(batch_no=batch_no).aggregate(total=Sum("amount", default=0))["total"]


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        closed=_closed,
        maker_permission=MAKER,
        checker_permission=CHECKER,
        tiers=LARGE_AMOUNT,
    )
