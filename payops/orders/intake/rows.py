"""One intake row, checked against the set-up and turned into COPY text (FORMATS 8, DOMAIN 3 and 5).

Everything that needs no other transaction is decided here while the file streams by: identity of merchant and channel,
exact amount, times, own date, merchant fee and expected channel cost. What needs other rows (originals, repeats,
what is stored) is set-based, in `load`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _

from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay
from payops.channels.choices import RefundDate
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.institution import MIDNIGHT, SHANGHAI, get_institution
from payops.core.money import exponent, parse_amount
from payops.fees.engine import RuleBook
from payops.merchants.models import Merchant, MerchantProduct
from payops.orders.choices import CardType, Kind, Status
from payops.orders.intake.source import RowError

KIND_NAMES: Final[dict[str, Kind]] = {
    "payment": Kind.PAYMENT,
    "refund": Kind.REFUND,
    "void": Kind.VOID,
    "preauth_completion": Kind.PREAUTH_COMPLETION,
    "topup": Kind.TOPUP,
}
KIND_TEXTS: Final[dict[int, str]] = {kind.value: name for name, kind in KIND_NAMES.items()}
REVERSE: Final = frozenset({Kind.REFUND, Kind.VOID})
STATUSES: Final = frozenset({"processing", "unknown", "succeeded", "failed", "closed"})
CARD_TYPES: Final = frozenset(CardType.values) | {""}

MAX_DAYS_AHEAD: Final = 31
"""A time further in the future of the books than this is a typing mistake."""

CLOCK_SKEW: Final = dt.timedelta(minutes=10)

_NUMBER: Final = re.compile(r"[!-\[\]-~]{1,64}")
"""Printable ASCII without blanks and backslash: what numbers of orders, requests and trades are made of."""

COPY_COLUMNS: Final = (
    "line",
    "transaction_no",
    "kind",
    "status",
    "rank",
    "contract_id",
    "merchant_id",
    "own_date",
    "business_date",
    "match_key",
    "channel_trade_no",
    "merchant_order_no",
    "product",
    "card_type",
    "amount",
    "currency",
    "fee",
    "fee_rule_id",
    "collection",
    "expected_cost",
    "cost_rule_id",
    "original_no",
    "payer",
    "created_at",
    "succeeded_at",
    "effective_at",
    "extra",
)
RANKS: Final[dict[str, int]] = {
    Status.CREATED: 0,
    Status.PROCESSING: 1,
    Status.UNKNOWN: 2,
    Status.SUCCEEDED: 3,
    Status.FAILED: 3,
    Status.CLOSED: 3,
}
_NULL: Final = "\\N"


class Terms(NamedTuple):
    """What a channel contract says that a row needs."""

    contract_id: int
    channel_code: str
    code: str
    currency: str
    refund_at_acceptance: bool
    cost_package: str


class Deal(NamedTuple):
    """A merchant's contract for one product."""

    merchant_id: int
    package: str
    collection: str


@dataclass(frozen=True, slots=True)
class Days:
    """Which accounting day a moment belongs to, given what is open and closed now."""

    open_day: dt.date
    bookable: frozenset[dt.date]
    shift: dt.timedelta

    @classmethod
    def load(cls) -> Days:
        """The state of the books; PayopsError 'orders.no_open_day' before the first day is opened."""
        states = dict(AccountingDay.objects.exclude(state=DayState.CLOSED).values_list("day", "state"))
        open_days = [day for day, state in states.items() if state == DayState.OPEN]
        if not open_days:
            raise PayopsError(
                "orders.no_open_day",
                _("No accounting day is open. Load the set-up file with ledger_start first, or open a day."),
            )
        cut_off = get_institution().own_cut_off
        shift = dt.timedelta()
        if cut_off != MIDNIGHT:
            shift = dt.timedelta(days=1) - dt.timedelta(
                hours=cut_off.hour, minutes=cut_off.minute, seconds=cut_off.second, microseconds=cut_off.microsecond
            )
        return cls(max(open_days), frozenset(states), shift)

    def natural(self, instant: dt.datetime) -> dt.date:
        """The own day of an instant by the institution's cut-off (same rule as core.institution.own_day)."""
        local = instant if instant.tzinfo is SHANGHAI else instant.astimezone(SHANGHAI)
        return (local + self.shift).date()

    def own(self, natural: dt.date) -> dt.date:
        """The natural day, or the open day when that one is closed or before the books began."""
        return natural if natural > self.open_day or natural in self.bookable else self.open_day


class RowReader:
    """Checks rows against a snapshot of merchants, contracts and fee rules, and prices them."""

    def __init__(self, days: Days | None = None) -> None:
        self.days = days or Days.load()
        self._latest = self.days.open_day + dt.timedelta(days=MAX_DAYS_AHEAD)
        self._contracts = {
            (row.channel.code, row.account_no): Terms(
                row.pk,
                row.channel.code,
                row.code,
                row.currency,
                row.refund_date == RefundDate.ACCEPTANCE,
                row.cost_package.code if row.cost_package else "",
            )
            for row in ChannelContract.objects.select_related("channel", "cost_package")
        }
        self._channels = {channel for channel, _account in self._contracts}
        self._merchants = dict(Merchant.objects.values_list("merchant_no", "pk"))
        self._deals = {
            (merchant_no, product): Deal(merchant_id, package, collection)
            for merchant_no, merchant_id, product, package, collection in MerchantProduct.objects.values_list(
                "merchant__merchant_no", "merchant_id", "product", "package__code", "collection"
            ).iterator()
        }
        self._rules = RuleBook.load()

    def copy_line(self, line: int, values: Sequence[str]) -> str:
        """The row as one line of COPY text in the order of COPY_COLUMNS; raises RowError."""
        (
            number,
            kind_name,
            original_no,
            merchant_no,
            merchant_order_no,
            product,
            channel,
            account,
            request_no,
            trade_no,
            amount_text,
            currency,
            status,
            card_type,
            payer,
            created_text,
            succeeded_text,
            extra,
        ) = values
        kind = KIND_NAMES.get(kind_name)
        if kind is None:
            raise _unknown(line, "kind", kind_name, KIND_NAMES)
        if status not in STATUSES:
            raise _unknown(line, "status", status, STATUSES)
        if card_type not in CARD_TYPES:
            raise _unknown(line, "card_type", card_type, CARD_TYPES - {""})
        self._check_numbers(line, number, request_no, trade_no)
        terms, deal = self._parties(line, channel, account, merchant_no, product)
        amount = self._amount(line, amount_text, currency, terms)
        created, succeeded = self._times(line, status, created_text, succeeded_text)
        effective = _effective(kind, status, created, succeeded, terms)
        natural = self.days.natural(effective or created)
        if natural > self._latest:
            raise RowError(
                line,
                "created_at" if effective is None or effective == created else "succeeded_at",
                created_text if effective is None or effective == created else succeeded_text,
                "intake.future",
                _("This lies on %(day)s; the open accounting day is %(open)s. Correct the time or the row's file.")
                % {"day": natural, "open": self.days.open_day},
            )
        original_no, extra_text = self._original(line, kind, original_no, extra)
        fee = rule_id = cost = cost_rule_id = 0
        if kind not in REVERSE:
            fee, rule_id, cost, cost_rule_id = self._price(
                line, terms, deal, product, card_type, kind_name, currency, amount, natural
            )
        if kind == Kind.TOPUP:
            # It never goes through clearing, which alone charges fees; a refund of it must not return one either.
            fee = rule_id = 0
        return "\t".join(
            (
                str(line),
                number,
                str(kind.value),
                status,
                str(RANKS[status]),
                str(terms.contract_id),
                str(deal.merchant_id),
                self.days.own(natural).isoformat(),
                natural.isoformat(),
                request_no,
                trade_no,
                _free(line, "merchant_order_no", merchant_order_no),
                product,
                card_type,
                str(amount),
                currency,
                str(fee),
                str(rule_id or _NULL),
                deal.collection,
                str(cost),
                str(cost_rule_id or _NULL),
                original_no or _NULL,
                _free(line, "payer", payer),
                created.isoformat(),
                succeeded.isoformat() if succeeded else _NULL,
                effective.isoformat() if effective else _NULL,
                extra_text,
            )
        )

    # -- the parts -------------------------------------------------------------------------------------------------

    @staticmethod
    def _check_numbers(line: int, number: str, request_no: str, trade_no: str) -> None:
        for field, value in (
            ("transaction_no", number),
            ("channel_request_no", request_no),
            ("channel_trade_no", trade_no),
        ):
            if not value and field == "channel_trade_no":
                continue
            if not _NUMBER.fullmatch(value):
                raise RowError(
                    line,
                    field,
                    value,
                    "intake.bad_number",
                    _("A number of 1 to 64 letters, digits and signs without blanks is expected."),
                )

    def _parties(self, line: int, channel: str, account: str, merchant_no: str, product: str) -> tuple[Terms, Deal]:
        terms = self._contracts.get((channel, account))
        if terms is None:
            if channel not in self._channels:
                raise RowError(
                    line,
                    "channel",
                    channel,
                    "intake.unknown_channel",
                    _("This channel is not set up. Known: %s.") % ", ".join(sorted(self._channels)),
                )
            known = sorted(number for code, number in self._contracts if code == channel)
            raise RowError(
                line,
                "channel_account",
                account,
                "intake.unknown_channel_account",
                _("Channel %(channel)s has no contract for this account. Known: %(known)s.")
                % {"channel": channel, "known": ", ".join(known[:10])},
            )
        deal = self._deals.get((merchant_no, product))
        if deal is None:
            if merchant_no not in self._merchants:
                raise RowError(
                    line,
                    "merchant_no",
                    merchant_no,
                    "intake.unknown_merchant",
                    _("This merchant is not set up. Set it up, or correct the row."),
                )
            raise RowError(
                line,
                "product",
                product,
                "intake.unknown_product",
                _("Merchant %s has no contract for this product. Add it to the merchant, or correct the row.")
                % merchant_no,
            )
        return terms, deal

    @staticmethod
    def _amount(line: int, text: str, currency: str, terms: Terms) -> int:
        try:
            exponent(currency)
        except PayopsError as error:
            raise RowError(line, "currency", currency, "intake.unknown_currency", str(error)) from error
        if currency != terms.currency:
            raise RowError(
                line,
                "currency",
                currency,
                "intake.wrong_currency",
                _("Contract %(contract)s settles in %(currency)s.")
                % {"contract": terms.code, "currency": terms.currency},
            )
        try:
            amount = parse_amount(text, currency)
        except PayopsError as error:
            raise RowError(line, "amount", text, "intake." + error.code.partition(".")[2], str(error)) from error
        if amount <= 0:
            raise RowError(
                line,
                "amount",
                text,
                "intake.amount_not_positive",
                _("Amounts are above zero; the kind says which way the money goes."),
            )
        return amount

    @staticmethod
    def _times(
        line: int, status: str, created_text: str, succeeded_text: str
    ) -> tuple[dt.datetime, dt.datetime | None]:
        created = _instant(line, "created_at", created_text)
        if status != Status.SUCCEEDED:
            if succeeded_text:
                raise RowError(
                    line,
                    "succeeded_at",
                    succeeded_text,
                    "intake.not_succeeded",
                    _("Only a row that succeeded has this time; its status is %s.") % status,
                )
            return created, None
        if not succeeded_text:
            raise RowError(
                line,
                "succeeded_at",
                "",
                "intake.time_missing",
                _("A row that succeeded needs the time it did; it decides the accounting day."),
            )
        succeeded = _instant(line, "succeeded_at", succeeded_text)
        if succeeded < created - CLOCK_SKEW:
            raise RowError(
                line,
                "succeeded_at",
                succeeded_text,
                "intake.before_created",
                _("This lies before the row was created (%s).") % created_text,
            )
        return created, succeeded

    @staticmethod
    def _original(line: int, kind: Kind, original_no: str, extra: str) -> tuple[str, str]:
        """Original number to look up and the extra JSON; a pre-authorisation is not kept here, so only noted."""
        if original_no and not _NUMBER.fullmatch(original_no):
            raise RowError(
                line,
                "original_transaction_no",
                original_no,
                "intake.bad_number",
                _("A number of 1 to 64 letters, digits and signs without blanks is expected."),
            )
        if kind in REVERSE:
            if not original_no:
                raise RowError(
                    line,
                    "original_transaction_no",
                    "",
                    "intake.original_missing",
                    _("A refund or void names the transaction it takes back."),
                )
        elif original_no and kind != Kind.PREAUTH_COMPLETION:
            raise RowError(
                line,
                "original_transaction_no",
                original_no,
                "intake.original_not_expected",
                _("Only refunds, voids and completions have an original."),
            )
        if not extra and not original_no:
            return "", _NULL
        return _extra(line, kind, original_no, extra)

    def _price(
        self,
        line: int,
        terms: Terms,
        deal: Deal,
        product: str,
        card_type: str,
        kind: str,
        currency: str,
        amount: int,
        day: dt.date,
    ) -> tuple[int, int, int, int]:
        common: dict[str, Any] = {
            "product": product,
            "channel": terms.channel_code,
            "card_type": card_type,
            "kind": kind,
            "currency": currency,
            "amount": amount,
            "day": day,
        }
        try:
            quote = self._rules.fee_for(deal.package, **common)
        except PayopsError as error:
            raise RowError(line, "product", product, "intake." + error.code.partition(".")[2], str(error)) from error
        if not terms.cost_package:
            return quote.fee, quote.rule_id, 0, 0
        try:
            cost = self._rules.fee_for(terms.cost_package, **common)
        except PayopsError as error:
            raise RowError(
                line, "channel", terms.channel_code, "intake." + error.code.partition(".")[2], str(error)
            ) from error
        return quote.fee, quote.rule_id, cost.fee, cost.rule_id


def price(
    *, package: str, channel: str, product: str, card_type: str, kind: str, currency: str, amount: int, day: dt.date
) -> tuple[int, int]:
    """Fee and rule of one amount outside a file (supplemented orders)."""
    quote = RuleBook.load(packages=[package]).fee_for(
        package,
        product=product,
        channel=channel,
        card_type=card_type,
        kind=kind,
        currency=currency,
        amount=amount,
        day=day,
    )
    return quote.fee, quote.rule_id


def _effective(
    kind: Kind, status: str, created: dt.datetime, succeeded: dt.datetime | None, terms: Terms
) -> dt.datetime | None:
    """When the movement counts, None while it does not (DOMAIN 3: a refund's date is when the channel takes it)."""
    if kind == Kind.REFUND and terms.refund_at_acceptance:
        return created if status in (Status.PROCESSING, Status.SUCCEEDED) else None
    return succeeded


def _instant(line: int, field: str, text: str) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
        if len(text) < 16:
            raise ValueError(text)  # a date alone says nothing about the accounting day
        instant = instant.replace(tzinfo=SHANGHAI) if instant.tzinfo is None else instant.astimezone(SHANGHAI)
    except (ValueError, OverflowError):
        raise RowError(
            line,
            field,
            text,
            "intake.bad_time",
            _("A time such as 2026-11-20T14:05:09+08:00 is expected; without offset it is Beijing time."),
        ) from None
    if not 2000 <= instant.year <= 2098:
        raise RowError(line, field, text, "intake.bad_time", _("The year lies outside 2000 to 2098."))
    return instant


def _free(line: int, field: str, text: str) -> str:
    """Free text for COPY: at most 64 printable characters, backslashes doubled."""
    if len(text) > 64 or not (text.isprintable() or not text):
        raise RowError(line, field, text, "intake.bad_text", _("At most 64 printable characters are expected."))
    return text.replace("\\", "\\\\") if "\\" in text else text


def _extra(line: int, kind: Kind, original_no: str, extra: str) -> tuple[str, str]:
    try:
        data = json.loads(extra) if extra else {}
    except (ValueError, RecursionError) as error:
        raise RowError(line, "extra", extra[:200], "intake.not_json", _("Not a JSON object: %s") % error) from error
    if not isinstance(data, dict):
        raise RowError(line, "extra", extra[:200], "intake.not_json", _("A JSON object is expected."))
    if kind == Kind.PREAUTH_COMPLETION and original_no:
        data["original_transaction_no"], original_no = original_no, ""
    if not data:
        return original_no, _NULL
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if "\\u0000" in text or not _encodable(text):
        raise RowError(line, "extra", extra[:200], "intake.bad_text", _("It holds characters that cannot be stored."))
    # JSON escapes its control characters itself, so only its backslashes need doubling for COPY.
    return original_no, text.replace("\\", "\\\\")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(line: int, field: str, value: str, known: Any) -> RowError:
    return RowError(
        line, field, value, f"intake.unknown_{field}", _("Expected one of: %s.") % ", ".join(sorted(map(str, known)))
    )
