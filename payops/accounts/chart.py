"""The chart of accounts from its file, and the accounts owners get when they are set up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts.choices import AccountStatus, Element, OwnerKind, Side
from payops.accounts.models import Account, Subject
from payops.core.errors import PayopsError
from payops.core.money import exponent

CHANNEL_SUBJECTS: Final = ("112201", "122101", "224101", "224105", "300101", "642101")
RESERVE_SUBJECTS: Final = ("100201", "122101", "224101", "224106")
OWN_FUNDS_SUBJECTS: Final = ("100202",)
MERCHANT_SUBJECTS: Final = ("112202", "112203", "220201", "220202", "220203", "220301", "220302", "224102")
INSTITUTION_SUBJECTS: Final = ("602101", "602102", "630101", "642102", "660101", "660301", "671101", "224103", "300103")


def normalised(code: str) -> str:
    """The subject code as the database keeps it: 2202.01 → 220201."""
    return code.replace(".", "")


def dotted(code: str) -> str:
    """The subject code as accountants write it: 220201 → 2202.01."""
    return ".".join([code[:4], *(code[at : at + 2] for at in range(4, len(code), 2))])


def chart_file() -> Path:
    """The chart that comes with payops."""
    return Path(settings.BASE_DIR) / "fixtures" / "chart.yaml"


def read_yaml(path: Path) -> list[dict[str, Any]]:
    """A list of mappings, or an error that names the file."""
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PayopsError(
            "setup.unreadable", _("%(path)s cannot be read: %(reason)s") % {"path": path, "reason": error}
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PayopsError("setup.unreadable", _("%(path)s must be a list of entries.") % {"path": path})
    return rows


@transaction.atomic
def chart_load(*, path: Path | None = None) -> int:
    """Create or update the subjects of the chart file; returns how many it holds. Repeatable.

    Names may change; the element and the normal side of a subject with accounts may not.
    """
    rows = sorted(read_yaml(path or chart_file()), key=lambda row: len(normalised(str(row.get("code", "")))))
    known = {subject.code: subject for subject in Subject.objects.all()}
    with_accounts = set(Account.objects.values_list("subject__code", flat=True).distinct())
    parents: set[str] = set()
    for row in rows:
        code = normalised(str(row.get("code", "")))
        _check_row(row, code, known, with_accounts)
        parent = known.get(code[:-2]) if len(code) > 4 else None
        if parent is not None:
            parents.add(parent.code)
        known[code] = Subject.objects.update_or_create(
            code=code,
            defaults={
                "name": row["name"],
                "name_zh": row["name_zh"],
                "element": row["element"],
                "normal_side": row["side"],
                "parent": parent,
            },
        )[0]
    Subject.objects.filter(code__in=parents).update(is_leaf=False)
    return len(rows)


def _check_row(row: dict[str, Any], code: str, known: dict[str, Subject], with_accounts: set[str]) -> None:
    def refuse(reason: str) -> PayopsError:
        return PayopsError(
            "chart.row", _("Subject %(code)s: %(reason)s") % {"code": code or "?", "reason": reason}, {"subject": code}
        )

    missing = {"code", "name", "name_zh", "element", "side"} - row.keys()
    if missing:
        raise refuse(_("missing %(fields)s.") % {"fields": ", ".join(sorted(missing))})
    if not (code.isdigit() and len(code) in {4, 6, 8, 10}):
        raise refuse(_("a code has four digits and two more per level."))
    if row["element"] not in Element.values or row["side"] not in Side.values:
        raise refuse(_("element or side is not known."))
    if len(code) > 4 and code[:-2] not in known:
        raise refuse(_("its superior subject %(parent)s is missing.") % {"parent": dotted(code[:-2])})
    if len(code) > 4 and code[:-2] in with_accounts:
        raise refuse(_("its superior subject %(parent)s carries accounts.") % {"parent": dotted(code[:-2])})
    before = known.get(code)
    if before and code in with_accounts and (before.element, before.normal_side) != (row["element"], row["side"]):
        raise refuse(_("element and side cannot change, it carries accounts."))


def account_number(subject_code: str, owner_no: str, currency: str) -> str:
    """220201-M-A; the currency is added when it is not CNY."""
    parts = [subject_code, *([owner_no] if owner_no else []), *([currency] if currency != "CNY" else [])]
    return "-".join(parts)


def account_open(*, subject_code: str, owner_kind: str, owner_no: str = "", currency: str = "CNY") -> Account:
    """The owner's account under a leaf subject, opened if it is not there yet.

    Raises PayopsError 'ledger.subject_unknown', 'ledger.subject_not_leaf', 'ledger.owner_unknown' or
    'money.unknown_currency'.
    """
    exponent(currency)
    code = normalised(subject_code)
    subject = Subject.objects.filter(code=code).first()
    if subject is None:
        raise PayopsError(
            "ledger.subject_unknown",
            _("Subject %(code)s is not in the chart of accounts. Load the chart first.") % {"code": dotted(code)},
            {"subject": code},
        )
    if not subject.is_leaf:
        raise PayopsError(
            "ledger.subject_not_leaf",
            _("Subject %(code)s has sub-subjects; an account stands under one of those.") % {"code": dotted(code)},
            {"subject": code},
        )
    if owner_kind not in OwnerKind.values or (owner_kind == OwnerKind.INSTITUTION) == bool(owner_no):
        raise PayopsError(
            "ledger.owner_unknown",
            _("An account of %(kind)s “%(owner)s” cannot be opened.") % {"kind": owner_kind, "owner": owner_no},
            {"owner_kind": owner_kind, "owner_no": owner_no},
        )
    # The bank's and the channel's suspense share a subject, so a clash of their codes must show in the number.
    number = account_number(code, f"B-{owner_no}" if owner_kind == OwnerKind.BANK else owner_no, currency)
    return Account.objects.get_or_create(
        subject=subject,
        owner_kind=owner_kind,
        owner_no=owner_no,
        currency=currency,
        defaults={"account_no": number, "status": AccountStatus.NORMAL},
    )[0]


def _open_all(subjects: tuple[str, ...], owner_kind: str, owner_no: str, currency: str) -> list[Account]:
    return [
        account_open(subject_code=code, owner_kind=owner_kind, owner_no=owner_no, currency=currency)
        for code in subjects
    ]


@transaction.atomic
def open_channel_accounts(code: str, currency: str = "CNY") -> list[Account]:
    """What a channel contract needs: receivable, pending clearing, suspense on both sides, cost and cost payable."""
    return _open_all(CHANNEL_SUBJECTS, OwnerKind.CHANNEL, code, currency)


@transaction.atomic
def open_bank_account(code: str, kind: str, currency: str = "CNY") -> list[Account]:
    """What a bank account needs; `kind` is 'reserve' (with suspense for unidentified movements) or 'own'."""
    return _open_all(RESERVE_SUBJECTS if kind == "reserve" else OWN_FUNDS_SUBJECTS, OwnerKind.BANK, code, currency)


@transaction.atomic
def open_merchant_accounts(merchant_no: str, currency: str = "CNY") -> list[Account]:
    """What a merchant needs: pending, settlement, refunds and payouts in flight, receivables, deposits."""
    return _open_all(MERCHANT_SUBJECTS, OwnerKind.MERCHANT, merchant_no, currency)


@transaction.atomic
def open_accounts_of_merchants(merchant_nos: Sequence[str], currency: str = "CNY") -> int:
    """`open_merchant_accounts` for thousands of merchants in four statements; returns how many were opened."""
    exponent(currency)
    subjects = {subject.code: subject for subject in Subject.objects.filter(code__in=MERCHANT_SUBJECTS, is_leaf=True)}
    if set(subjects) != set(MERCHANT_SUBJECTS):
        # The chart is incomplete: the single form says what is missing.
        return sum(len(open_merchant_accounts(merchant_no, currency)) for merchant_no in merchant_nos)
    have = set(
        Account.objects.filter(
            owner_kind=OwnerKind.MERCHANT,
            owner_no__in=merchant_nos,
            currency=currency,
            subject__code__in=MERCHANT_SUBJECTS,
        ).values_list("owner_no", "subject__code")
    )
    missing = [
        Account(
            account_no=account_number(code, merchant_no, currency),
            subject=subjects[code],
            currency=currency,
            owner_kind=OwnerKind.MERCHANT,
            owner_no=merchant_no,
        )
        for merchant_no in merchant_nos
        for code in MERCHANT_SUBJECTS
        if (merchant_no, code) not in have
    ]
    # Somebody may be opening the same accounts; they are the same accounts.
    Account.objects.bulk_create(missing, batch_size=5000, ignore_conflicts=True)
    return len(missing)


@transaction.atomic
def open_institution_accounts(currency: str = "CNY") -> list[Account]:
    """The institution's own accounts: income, costs, losses, transit."""
    return _open_all(INSTITUTION_SUBJECTS, OwnerKind.INSTITUTION, "", currency)
