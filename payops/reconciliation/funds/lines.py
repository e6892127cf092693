"""What each new line of the reserve accounts' statements is, and its booking."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting
from payops.channels.choices import BankAccountKind, BankLineKind, BankLineState
from payops.channels.models import BankLine, ChannelContract
from payops.core.errors import PayopsError
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.services import case_open
from payops.reconciliation.funds.allocation import line_allocate
from payops.reconciliation.funds.faults import ONE_LINE_FAULTS
from payops.reconciliation.funds.movements import movement_take, number_of
from payops.reconciliation.funds.rules import Found, compact_date, line_found, rules_of
from payops.reconciliation.models import BankRule

LINE_SOURCE: Final = "bank_line"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A contract's receipt pattern, compiled."""

    contract: ChannelContract
    pattern: re.Pattern[str]


def funds_match(*, username: str = "system", open_day: dt.date | None = None) -> dict[str, Any]:
    """Identify and book every new line of the reserve accounts, in the order of the statements; returns counts.

    The account's rules are tried first, then the channels' receipt patterns and our own numbers. A channel's settlement
    is booked RECEIPT, a payout or a return is compared with what settlement expects, own money leaving the reserve
    waits for a decision, anything unknown goes to suspense with a case (DOMAIN 4.5). Each line is a transaction of its
    own; `open_day` is the accounting day to book on, by default the open one. A line whose channel has no usable
    account is left new and listed.
    """
    known = _Known({}, _patterns())
    counts: Counter[str] = Counter()
    received = 0
    failed: list[dict[str, Any]] = []
    lines = BankLine.objects.filter(state=BankLineState.NEW, bank_account__kind=BankAccountKind.RESERVE)
    for line_id in list(lines.order_by("value_date", "id").values_list("id", flat=True)):
        try:
            line = _line_take(line_id, known, username, open_day)
        except PayopsError as error:
            if error.code not in ONE_LINE_FAULTS:
                raise
            failed.append({"bank_line": line_id, "code": error.code, "message": str(error)})
            continue
        if line is not None:
            counts[line.kind] += 1
            received += line.amount if line.kind == BankLineKind.SETTLEMENT else 0
    return {
        "lines": counts.total(),
        "settlements": counts[BankLineKind.SETTLEMENT],
        "settlement_amount": received,
        "payouts": counts[BankLineKind.PAYOUT],
        "returns": counts[BankLineKind.RETURN],
        "transfers": counts[BankLineKind.TRANSFER],
        "interest": counts[BankLineKind.INTEREST],
        "waiting": counts[BankLineKind.CHARGE] + counts[BankLineKind.CARRIED],
        "unidentified": counts[BankLineKind.OTHER],
        "failed": failed,
    }


def _patterns() -> dict[int, list[_Pattern]]:
    """Receipt patterns by bank account; the longest first, because it is the most particular."""
    rules: dict[int, list[_Pattern]] = {}
    for contract in ChannelContract.objects.exclude(receipt_pattern="").order_by("code"):
        rules.setdefault(contract.reserve_account_id, []).append(
            _Pattern(contract, re.compile(contract.receipt_pattern))
        )
    for of_account in rules.values():
        of_account.sort(key=lambda rule: -len(rule.pattern.pattern))
    return rules


@dataclass(frozen=True, slots=True)
class _Known:
    """What lines are recognised by, read once for all of them: rules and receipt patterns by bank account."""

    rules: dict[int, list[BankRule]]
    patterns: dict[int, list[_Pattern]]

    def rules_of(self, account_id: int) -> list[BankRule]:
        if account_id not in self.rules:
            self.rules[account_id] = rules_of(account_id)
        return self.rules[account_id]


@transaction.atomic
def _line_take(line_id: int, known: _Known, username: str, open_day: dt.date | None) -> BankLine | None:
    """Book one line, or None when somebody else has it already."""
    claimed = BankLine.objects.filter(pk=line_id, state=BankLineState.NEW).update(state=BankLineState.MATCHED)
    if not claimed:
        return None
    line = BankLine.objects.select_related("bank_account").get(pk=line_id)
    found = line_found(line, known.rules_of(line.bank_account_id))
    if found is not None:
        line.rule_id = found.rule.pk
        taken = _found_book(line, found, username, open_day)
    else:
        taken = _worded_book(line, known.patterns.get(line.bank_account_id, ()), username, open_day)
    if not taken:
        _unidentified_book(line, username, open_day)
    line.save(update_fields=["state", "kind", "contract", "channel_date", "payout_no", "voucher_id", "rule_id"])
    return line


def _found_book(line: BankLine, found: Found, username: str, open_day: dt.date | None) -> bool:
    """Book a line as what a rule takes it for; False where nothing of the kind is expected."""
    if found.contract is not None and found.channel_date is not None:
        _receipt_book(line, found.contract, found.channel_date, username, open_day)
        return True
    if found.number:
        return movement_take(line, found.kind.value, found.number)
    line.kind = found.kind
    owners = {"bank": line.bank_account.code}
    if found.kind == BankLineKind.INTEREST:
        voucher = _post_line(Event.RESERVE_INTEREST, line, {"R": line.amount}, owners, username, open_day)
    elif found.kind == BankLineKind.TRANSFER:
        event = Event.TRANSFER_IN if line.amount > 0 else Event.TRANSFER_OUT
        voucher = _post_line(event, line, {"P": abs(line.amount)}, owners, username, open_day)
    else:
        # The bank has moved own money out of the reserve: a person says so before the books do.
        line.state = BankLineState.WAITING
        return True
    line.voucher_id = voucher.pk if voucher else None
    return True


def _worded_book(line: BankLine, patterns: Iterable[_Pattern], username: str, open_day: dt.date | None) -> bool:
    """Book a line by a channel's receipt pattern or by our own number in its memo."""
    settlement = _settlement_of(line, patterns)
    if settlement is not None:
        _receipt_book(line, *settlement, username, open_day)
        return True
    numbered = number_of(line)
    return numbered is not None and movement_take(line, *numbered)


def _settlement_of(line: BankLine, patterns: Iterable[_Pattern]) -> tuple[ChannelContract, dt.date] | None:
    text = f"{line.counterparty} {line.memo}"
    for known in patterns:
        match = known.pattern.search(text)
        if match is None or line.currency != known.contract.currency:
            continue
        date = compact_date(match["date"])
        if date is not None:
            return known.contract, date
    return None


def _receipt_book(
    line: BankLine, contract: ChannelContract, channel_date: dt.date, username: str, open_day: dt.date | None
) -> None:
    line_allocate(line=line, contract=contract, channel_date=channel_date)
    owners = {"channel": contract.code, "bank": line.bank_account.code}
    voucher = _post_line(Event.RECEIPT, line, {"R": line.amount}, owners, username, open_day)
    line.kind, line.contract, line.channel_date = BankLineKind.SETTLEMENT, contract, channel_date
    line.voucher_id = voucher.pk if voucher else None


def _unidentified_book(line: BankLine, username: str, open_day: dt.date | None) -> None:
    event = Event.UNIDENTIFIED_CREDIT if line.amount > 0 else Event.UNIDENTIFIED_DEBIT
    voucher = _post_line(event, line, {"R": abs(line.amount)}, {"bank": line.bank_account.code}, username, open_day)
    line.state, line.kind = BankLineState.UNIDENTIFIED, BankLineKind.OTHER
    line.voucher_id = voucher.pk if voucher else None
    case_open(
        dedupe_key=f"bank:{line.pk}",
        kind=CaseKind.BANK,
        amount=line.amount,
        suspense=line.amount,
        currency=line.currency,
        business_date=line.value_date,
        bank_account=line.bank_account,
        bank_line_id=line.pk,
        evidence={
            "own": None,
            "channel": None,
            "bank": {
                "reference": line.reference,
                "value_date": line.value_date.isoformat(),
                "counterparty": line.counterparty,
                "memo": line.memo,
                "amount": line.amount,
            },
        },
    )


def _post_line(
    event: Event,
    line: BankLine,
    amounts: dict[str, int],
    owners: dict[str, str],
    username: str,
    open_day: dt.date | None,
) -> Voucher | None:
    return ledger.post(
        Posting(
            event=event,
            source_kind=LINE_SOURCE,
            source_id=line.pk,
            amounts=amounts,
            owners=owners,
            business_date=line.value_date,
            currency=line.currency,
            memo=f"{line.reference} {line.memo}",
        ),
        day=open_day,
        posted_by=username,
    )
