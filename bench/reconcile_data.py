"""What `bench.reconcile` measures on: an institution, and days of own transactions with the channel's bill for each.

Both sides are made from one formula over n, once as SQL for the own side and once as rows for the bill writers; a few
hundred places are planted to differ. Keys are scattered, so that neither a sort nor an index finds them in order.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from django.db import connection

from payops.accounts import services as ledger
from payops.channels.formats import BILL_COPY_COLUMNS, Expectation, Source, get_format
from payops.channels.formats.base import PAYMENT, REFUND
from payops.channels.formats.writers import (
    BillRow,
    unionpay_zm_name,
    write_alipay_zip,
    write_unionpay_zm,
    write_wechat_all,
)
from payops.channels.models import BankAccount, Channel, ChannelContract
from payops.core.business_days import seed_business_days
from payops.core.ids import day_floor
from payops.core.institution import institution_update
from payops.core.partitions import ensure_days, partition_name
from payops.core.sql import quote_table
from payops.fees.models import FeePackage, FeeRule
from payops.merchants.models import Customer, Merchant
from payops.orders.models import OpenTransaction, Transaction
from payops.reconciliation.choices import ResultKind

FIRST_DAY = dt.date(2026, 11, 2)
MERCHANTS = 200
PLANTED = 300
EPOCH_SECONDS = 3600
DAY_SECONDS = 75_000
"""Rows lie between 01:00 and 21:50: none is near a cut-off, so nothing is in doubt."""

OWN_ONLY, CHANNEL_ONLY, AMOUNT, FEE, STATUS = range(5)
FOUND_AS = {
    OWN_ONLY: ResultKind.OWN_ONLY,
    CHANNEL_ONLY: ResultKind.CHANNEL_ONLY,
    AMOUNT: ResultKind.AMOUNT,
    FEE: ResultKind.FEE,
    STATUS: ResultKind.STATUS,
}
AMOUNT_OFF, FEE_OFF, DISCOUNT = 100, 5, 100
SPREAD = 7919
SCATTER, PRIME = 387_420_489, 1_000_000_007
"""Neighbouring numbers are far apart in the keys, as those of many merchants are."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a format wants its rows: account, width of the trade number, whether it can show a merchant's discount."""

    account: str
    trade_digits: int
    discounts: bool


SHAPES = {
    "alipay_trade": Shape("20889900112233440156", 28, True),
    "wechat_trade": Shape("1699999901", 28, True),
    "unionpay_zm": Shape("898310053110001", 21, False),
}


@dataclass(frozen=True, slots=True)
class Day:
    """One day to reconcile: `lines` rows on either side; its contract is its own, so nothing is carried over."""

    day: dt.date
    format_code: str
    lines: int
    contract_id: int

    @property
    def rows(self) -> int:
        """Numbers n there are; each side lacks the rows planted on the other one only."""
        return self.lines + PLANTED // len(FOUND_AS)

    @property
    def step(self) -> int:
        """Distance of the planted rows, a multiple of 20 so that they are payments nobody refunds."""
        return max(self.rows // PLANTED // 20, 1) * 20

    def plant(self, n: int) -> int | None:
        """What is wrong with row n, None for a good one."""
        position = n // self.step
        return position % len(FOUND_AS) if n % self.step == 10 and position < PLANTED else None

    def planted(self) -> Counter[str]:
        """How many of each result a run has to report."""
        places = (self.plant(n) for n in range(10, self.rows, self.step))
        return Counter(FOUND_AS[place].value for place in places if place is not None)

    # -- the channel's side ----------------------------------------------------------------------------------------

    def bill_rows(self) -> Iterator[BillRow]:
        """The rows of the bill in the order of time."""
        shape = SHAPES[self.format_code]
        start = dt.datetime.combine(self.day, dt.time()) + dt.timedelta(seconds=EPOCH_SECONDS)
        for n in range(self.rows):
            plant = self.plant(n)
            if plant == OWN_ONLY:
                continue
            refund = n % 20 == 19
            original = n - 1 if refund else n
            gross = amount(n) + (AMOUNT_OFF if plant == AMOUNT else 0)
            discount = DISCOUNT if shape.discounts and n % 50 == 3 else 0
            fee = cost(amount(n) - discount) + (FEE_OFF if plant == FEE else 0)
            yield BillRow(
                kind=REFUND if refund else PAYMENT,
                order_no=self.key("P", original),
                trade_no=self.trade(n if refund and self.format_code == "unionpay_zm" else original),
                original_trade_no=self.trade(original) if refund else "",
                request_no=self.key("R", n) if refund else "",
                amount=gross,
                fee=fee,
                discount=discount,
                occurred_at=start + dt.timedelta(seconds=n * DAY_SECONDS // self.rows),
                payer=f"*某(177****{n % 10_000:04d})" if self.format_code == "alipay_trade" else "",
                product="自行车租赁",
            )

    def key(self, letter: str, n: int) -> str:
        """Our request number; the same text as `OWN_ROWS` makes."""
        return f"{letter}{self.day:%Y%m%d}{n * SCATTER % PRIME:012d}"

    def trade(self, n: int) -> str:
        """The channel's number."""
        digits = SHAPES[self.format_code].trade_digits - 8
        return f"{self.day:%Y%m%d}{n:0{digits}d}"

    def write_bill(self, folder: Path) -> Path:
        """The file as the channel delivers it."""
        account = SHAPES[self.format_code].account
        if self.format_code == "alipay_trade":
            path = folder / f"{account}_{self.day:%Y%m%d}.csv.zip"
            write_alipay_zip(path, account, self.day, self.bill_rows())
            return path
        name = unionpay_zm_name(account, self.day) if self.format_code == "unionpay_zm" else f"{self.day}.csv"
        with (folder / name).open("wb") as file:
            if self.format_code == "unionpay_zm":
                write_unionpay_zm(file, account, self.day, self.bill_rows())
            else:
                write_wechat_all(file, account, self.bill_rows())
        return folder / name

    def write_copy_text(self, bill: Path) -> Path:
        """The same lines ready for COPY: what the bare baseline is given, so that it need not parse anything."""
        expect = Expectation(SHAPES[self.format_code].account, self.day, bill.name)
        reader = get_format(self.format_code).open(Source.of(bill), expect)
        path = bill.with_suffix(".copy")
        with path.open("wb") as file:
            file.writelines(reader.copy_chunks(day_floor(self.day), self.contract_id))
        return path

    # -- our side --------------------------------------------------------------------------------------------------

    def load_own(self) -> None:
        """Transactions of ours, set-based; vacuumed and analysed, as those of a day that is closed have long been."""
        table = quote_table(partition_name(Transaction, self.day))
        numbers = {
            "rows": self.rows,
            "step": self.step,
            "floor": day_floor(self.day),
            "contract": self.contract_id,
            "first_merchant": Merchant.objects.order_by("pk").values_list("pk", flat=True)[0],
            "day": self.day,
            "prefix": f"{self.day:%Y%m%d}",
            "start": f"{self.day} 01:00:00+08",
        }
        with connection.cursor() as cursor:
            take_rows_of_the_past(table)
            cursor.execute(OWN_ROWS.format(table=table), numbers)
            cursor.execute(
                f"INSERT INTO {OpenTransaction._meta.db_table} (transaction_id, contract_id, own_date)"
                f" SELECT id, contract_id, own_date FROM {table} WHERE contract_id = %s AND effective_at IS NULL",
                [self.contract_id],
            )
            cursor.execute(f"VACUUM ANALYZE {table}, {OpenTransaction._meta.db_table}")


def amount(n: int) -> int:
    """Amount of row n in fen; a refund gives half of the payment before it back."""
    return amount(n - 1) // 2 if n % 20 == 19 else 1_000 + n * SPREAD % 500_000


def cost(value: int) -> int:
    """What the channel keeps: 0.38 %, half up."""
    return (value * 38 + 5_000) // 10_000


OWN_ROWS = f"""
INSERT INTO {{table}} (id, transaction_no, kind, status, contract_id, merchant_id, own_date, business_date, match_key,
    channel_trade_no, merchant_order_no, product, card_type, amount, currency, fee, collection, expected_cost,
    original_id, refund_source, origin, payer, created_at, succeeded_at, effective_at)
SELECT %(floor)s + 1 + n, 'T' || %(prefix)s || lpad(n::text, 12, '0'), CASE WHEN refund THEN 2 ELSE 1 END,
    CASE WHEN plant = {STATUS} THEN 'unknown' ELSE 'succeeded' END, %(contract)s,
    %(first_merchant)s + n * {SPREAD} %% {MERCHANTS}, %(day)s, %(day)s,
    CASE WHEN refund THEN 'R' ELSE 'P' END || %(prefix)s || lpad((n * {SCATTER} %% {PRIME})::text, 12, '0'),
    '', 'O' || n, 'qr', '', amount, 'CNY', CASE WHEN refund THEN -1 ELSE 1 END * (amount * 60 + 5000) / 10000, 'net',
    CASE WHEN refund THEN -1 ELSE 1 END * ((amount * 38 + 5000) / 10000),
    CASE WHEN refund THEN %(floor)s + n END, CASE WHEN refund THEN 'pending' ELSE '' END, 'intake', '', at, at,
    CASE WHEN plant IS DISTINCT FROM {STATUS} THEN at END
FROM (
    SELECT n, n %% 20 = 19 AS refund, %(start)s::timestamptz + n * {DAY_SECONDS} / %(rows)s * interval '1 second' AS at,
        CASE WHEN n %% 20 = 19 THEN (1000 + (n - 1) * {SPREAD} %% 500000) / 2
             ELSE 1000 + n * {SPREAD} %% 500000 END AS amount,
        CASE WHEN n %% %(step)s = 10 AND n / %(step)s < {PLANTED} THEN n / %(step)s %% {len(FOUND_AS)} END AS plant
    FROM generate_series(0::bigint, %(rows)s - 1) AS n
) AS made
WHERE plant IS DISTINCT FROM {CHANNEL_ONLY}
ORDER BY n
"""


# --- the institution ---


def set_up(days: int) -> list[dt.date]:
    """Everything but transactions and bills; returns closed days to reconcile, with the day after them open."""
    seed_business_days(2026, 2026)
    institution_update(name="Bench", own_cut_off=dt.time(0, 0))
    ledger.ledger_setup()
    customer = Customer.objects.create(customer_no="C", name="C", certificate_no="C", certificate_index="C")
    Merchant.objects.bulk_create(
        [Merchant(merchant_no=f"M{n:04d}", customer=customer, name=f"M{n:04d}") for n in range(MERCHANTS)]
    )
    ledger.open_accounts_of_merchants([f"M{n:04d}" for n in range(MERCHANTS)])
    BankAccount.objects.create(code="RSV", bank_name="Bank", account_no="6222", kind="reserve")
    ledger.open_bank_account("RSV", "reserve")
    package = FeePackage.objects.create(code="COST", name="COST")
    FeeRule.objects.create(
        package=package,
        components=[{"name": "cost", "rate": str(Decimal("0.0038"))}],
        effective_from=dt.date(2026, 1, 1),
    )
    made = [FIRST_DAY + dt.timedelta(days=n) for n in range(days)]
    ensure_days(FIRST_DAY - dt.timedelta(days=8), made[-1] + dt.timedelta(days=2))
    ledger.day_open(FIRST_DAY)
    for day in made:
        ledger.day_cut_off(day)
        ledger.close_day(day)
    return made


def take_rows_of_the_past(table: str) -> None:
    """Let a partition of a closed day take rows; its days are closed before they have any."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER closed_day")


def contract_for(day: dt.date, format_code: str) -> int:
    """A channel of its own for the day; its id."""
    code = f"C{day:%y%m%d}"
    contract = ChannelContract.objects.create(
        channel=Channel.objects.create(code=code.lower(), name=code),
        code=code,
        account_no=SHAPES[format_code].account,
        bill_format=format_code,
        cut_off=dt.time(0, 0),
        reserve_account=BankAccount.objects.get(code="RSV"),
        cost_package=FeePackage.objects.get(code="COST"),
    )
    ledger.open_channel_accounts(code)
    return contract.pk


COPY_COLUMNS = ", ".join(BILL_COPY_COLUMNS)
