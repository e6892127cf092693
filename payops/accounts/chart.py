"""The chart of accounts from its file, and the accounts owners get when they are set up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts.choices import AccountStatus, Element, OwnerKind, RuleState, Side
from payops.accounts.models import Account, PostingRule, Subject
from payops.core.errors import PayopsError
from payops.core.money import exponent

CHANNEL_SUBJECTS: Final = ("112201", "122101", "224101", "224105", "300101", "642101")
RESERVE_SUBJECTS: Final = ("100201", "122101", "224101", "224106")
OWN_FUNDS_SUBJECTS: Final = ("100202", "224102", "300103")
MERCHANT_SUBJECTS: Final = (
    "112202",
    "112203",
    "122102",
    "220201",
    "220202",
    "220203",
    "220301",
    "220302",
    "224102",
    "300102",
)
AGENT_SUBJECTS: Final = ("224102", "224104")
INSTITUTION_SUBJECTS: Final = ("602101", "602102", "630101", "642102", "660101", "660301", "671101", "224103", "300103")

CHART_FIELDS: Final = ("code", "name", "name_zh", "element", "side", "erp_code")
"""Columns of a chart in files; the ERP code may be empty."""


def normalised(code: str) -> str:
    """The subject code as the database keeps it: 2202.01 → 220201."""
    return code.replace(".", "")


def dotted(code: str) -> str:
    """The subject code as accountants write it: 220201 → 2202.01."""
    return ".".join([code[:4], *(code[at : at + 2] for at in range(4, len(code), 2))])


def chart_file() -> Path:
    """The chart that comes with payops."""
    return Path(settings.BASE_DIR) / "fixtures" / "chart.yaml"


_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Eight times as fast where PyYAML has libyaml; both read data only."""


def read_yaml(path: Path) -> list[dict[str, Any]]:
    """A list of mappings, or an error that names the file."""
    try:
        rows = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - safe either way
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PayopsError(
            "setup.unreadable", _("%(path)s cannot be read: %(reason)s") % {"path": path, "reason": error}
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PayopsError("setup.unreadable", _("%(path)s must be a list of entries.") % {"path": path})
    return rows


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row of a chart file; `row` counts from 1 without headings."""

    row: int
    code: str
    message: str

    def __str__(self) -> str:
        return _("Row %(row)d, subject %(code)s: %(message)s") % {
            "row": self.row,
            "code": dotted(self.code) or "?",
            "message": self.message,
        }


@transaction.atomic
def chart_load(*, path: Path | None = None) -> int:
    """Add the subjects of the chart file that are not there yet; returns how many it holds. Repeatable.

    Only gaps are filled, so loading again never undoes a name or an ERP code approved since. A subject the file means
    otherwise (element, side) is refused: PayopsError 'chart.row'.
    """
    rows = chart_rows(read_yaml(path or chart_file()))
    errors = chart_errors(rows, keep_names=True)
    if errors:
        raise PayopsError("chart.row", str(errors[0]), {"subject": errors[0].code, "row": errors[0].row})
    chart_write(rows, keep_names=True)
    return len(rows)


def chart_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of a file as the chart keeps them: texts without blanks around, codes without dots."""
    return [
        {
            **{name: str(row.get(name) if row.get(name) is not None else "").strip() for name in CHART_FIELDS},
            "code": normalised(str(row.get("code", "")).strip()),
        }
        for row in rows
    ]


def chart_errors(rows: Sequence[Mapping[str, str]], *, keep_names: bool = False) -> list[RowError]:
    """Everything that keeps the rows from becoming the chart, row by row.

    A subject with accounts keeps its element and side and takes no sub-subjects; a superior may stand anywhere in the
    file. With `keep_names` the rows only fill gaps, and another element or side is refused even without accounts.
    """
    known = {subject.code: subject for subject in Subject.objects.all()}
    with_accounts = set(Account.objects.values_list("subject__code", flat=True).distinct())
    elements = {code: subject.element for code, subject in known.items()} | {
        row["code"]: row["element"] for row in rows
    }
    booked = _subjects_of_rules()
    errors: list[RowError] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        code = row["code"]
        reasons = [*_row_errors(row), *_place_errors(row, elements, with_accounts)]
        if code not in known and code[:-2] in booked:
            reasons.append(
                _("a posting rule books on its superior subject %(parent)s.") % {"parent": dotted(code[:-2])}
            )
        if code in seen:
            reasons.append(_("it stands in the file twice."))
        before = known.get(code)
        fixed = before is not None and (keep_names or code in with_accounts)
        if fixed and (before.element, before.normal_side) != (row["element"], row["side"]):
            reasons.append(_("element and side cannot change, it carries accounts or is in use."))
        seen.add(code)
        errors += [RowError(number, code, reason) for reason in reasons]
    return errors


def _subjects_of_rules() -> set[str]:
    """What posting rules book on, today and from the days on that are agreed."""
    lines = PostingRule.objects.filter(state=RuleState.ACTIVE).values_list("lines", flat=True)
    return {normalised(line["subject"]) for each in lines for line in each}


def _place_errors(row: Mapping[str, str], elements: Mapping[str, str], with_accounts: set[str]) -> Iterator[str]:
    """What is wrong with where a subject stands in the tree."""
    code, parent = row["code"], row["code"][:-2]
    if not (code.isascii() and code.isdigit() and len(code) in {4, 6, 8, 10}):
        yield _("a code has four digits and two more per level, up to four levels.")
    elif len(code) > 4 and parent not in elements:
        yield _("its superior subject %(parent)s is missing.") % {"parent": dotted(parent)}
    elif len(code) > 4 and parent in with_accounts:
        yield _("its superior subject %(parent)s carries accounts.") % {"parent": dotted(parent)}
    elif len(code) > 4 and elements[parent] != row["element"]:
        yield _("its element differs from that of its superior subject %(parent)s.") % {"parent": dotted(parent)}


def _row_errors(row: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the values of a row."""
    missing = [name for name in ("code", "name", "name_zh", "element", "side") if not row[name]]
    if missing:
        yield _("missing %(fields)s.") % {"fields": ", ".join(missing)}
    if row["element"] and row["element"] not in Element.values:
        yield _("element “%(element)s” is none of %(known)s.") % {
            "element": row["element"],
            "known": ", ".join(Element.values),
        }
    if row["side"] and row["side"] not in Side.values:
        yield _("the side is D or C, not “%(side)s”.") % {"side": row["side"]}
    for name, longest in (("name", 80), ("name_zh", 80), ("erp_code", 40)):
        if len(row[name]) > longest:
            yield _("%(field)s is longer than %(longest)d characters.") % {"field": name, "longest": longest}


def chart_write(rows: Sequence[Mapping[str, str]], *, keep_names: bool = False) -> None:
    """Write checked rows, superiors first. The database makes a superior no leaf."""
    ids = dict(Subject.objects.values_list("code", "id"))
    for _length, level in groupby(sorted(rows, key=lambda row: len(row["code"])), key=lambda row: len(row["code"])):
        known = [(row["code"], row) for row in level]
        new = [
            Subject(code=code, parent_id=ids[code[:-2]] if len(code) > 4 else None, **_columns(row))
            for code, row in known
            if code not in ids
        ]
        if not keep_names:
            for code, row in known:
                if code in ids:
                    Subject.objects.filter(code=code).update(**_columns(row))
        ids |= {subject.code: subject.pk for subject in Subject.objects.bulk_create(new)}


def _columns(row: Mapping[str, str]) -> dict[str, str]:
    return {
        "name": row["name"],
        "name_zh": row["name_zh"],
        "element": row["element"],
        "normal_side": row["side"],
        "erp_code": row["erp_code"],
    }


_PREFIXES: Final = {OwnerKind.BANK.value: "B-", OwnerKind.AGENT.value: "A-"}


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
    # Owners of several kinds share subjects (suspense, payouts in flight), so equal codes must differ in the number.
    number = account_number(code, _PREFIXES.get(owner_kind, "") + owner_no, currency)
    return Account.objects.get_or_create(
        subject=subject,
        owner_kind=owner_kind,
        owner_no=owner_no,
        currency=currency,
        defaults={"account_no": number, "status": AccountStatus.NORMAL},
    )[0]


def _open_all(codes: tuple[str, ...], owner_kind: str, owner_no: str, currency: str) -> list[Account]:
    """The accounts of one owner, in three statements; what is wrong with one of them `account_open` says."""
    owned = Account.objects.filter(owner_kind=owner_kind, owner_no=owner_no, currency=currency)
    subjects = Subject.objects.in_bulk(codes, field_name="code")
    known_owner = owner_kind in OwnerKind.values and (owner_kind == OwnerKind.INSTITUTION) != bool(owner_no)
    if known_owner and all(code in subjects and subjects[code].is_leaf for code in codes):
        exponent(currency)
        prefix = _PREFIXES.get(owner_kind, "")
        new = [
            Account(
                account_no=account_number(code, prefix + owner_no, currency),
                subject=subjects[code],
                owner_kind=owner_kind,
                owner_no=owner_no,
                currency=currency,
                status=AccountStatus.NORMAL,
            )
            for code in codes
        ]
        Account.objects.bulk_create(new, ignore_conflicts=True)
        found = {account.subject_id: account for account in owned.filter(subject__in=subjects.values())}
        if len(found) == len(codes):
            return [found[subjects[code].pk] for code in codes]
    return [
        account_open(subject_code=code, owner_kind=owner_kind, owner_no=owner_no, currency=currency) for code in codes
    ]


@transaction.atomic
def open_channel_accounts(code: str, currency: str = "CNY") -> list[Account]:
    """What a channel contract needs: receivable, pending clearing, suspense on both sides, cost and cost payable."""
    return _open_all(CHANNEL_SUBJECTS, OwnerKind.CHANNEL, code, currency)


@transaction.atomic
def open_bank_account(code: str, kind: str, currency: str = "CNY") -> list[Account]:
    """What a bank account needs; `kind` is 'reserve' (with suspense for unidentified movements) or 'own' (with what is
    on its way out of or into it)."""
    return _open_all(RESERVE_SUBJECTS if kind == "reserve" else OWN_FUNDS_SUBJECTS, OwnerKind.BANK, code, currency)


@transaction.atomic
def open_merchant_accounts(merchant_no: str, currency: str = "CNY") -> list[Account]:
    """What a merchant needs: pending, settlement, escrow, refunds and payouts in flight, receivables, advances,
    deposits."""
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
def open_agent_accounts(agent_no: str, currency: str = "CNY") -> list[Account]:
    """What an agent needs: profit share payable, and its payouts in flight."""
    return _open_all(AGENT_SUBJECTS, OwnerKind.AGENT, agent_no, currency)


@transaction.atomic
def open_institution_accounts(currency: str = "CNY") -> list[Account]:
    """The institution's own accounts: income, costs, losses, transit."""
    return _open_all(INSTITUTION_SUBJECTS, OwnerKind.INSTITUTION, "", currency)
