"""Day-end check voucher ↔ source (账证, DOMAIN 4.6): every transaction that counts has its vouchers, and vice versa."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db import connection
from django.utils.translation import gettext as _

from payops.accounts.checks import Finding
from payops.core.ids import DAY_STEP, id_range
from payops.orders import sql
from payops.orders.vouchers import SOURCE_KIND, own_ranges

CHECK: Final = "orders.vouchers"
SHOWN: Final = 20


def check_vouchers(day: dt.date) -> list[Finding]:
    """Transactions of own date `day` that lack a voucher, and vouchers of `day` whose transaction does not count."""
    return [*_missing(day), *_without_source(day)]


def _missing(day: dt.date) -> list[Finding]:
    lacking: list[tuple[int, int]] = []
    with connection.cursor() as cursor:
        for lo, hi in own_ranges(day):
            cursor.execute(sql.DUE.format(LO=lo, HI=hi, JOIN=""), [day])
            lacking.extend((row[0], row[1]) for row in cursor.fetchall())
    if not lacking:
        return []
    return [
        Finding(
            CHECK,
            _("%(count)d vouchers of transactions are missing. Post them with the intake check of the day.")
            % {"count": len(lacking)},
            context={"missing": [{"transaction": str(pk), "event": event} for pk, event in lacking[:SHOWN]]},
        )
    ]


def vouchers_without_source(day: dt.date) -> list[int]:
    """Vouchers of accounting day `day` that name a transaction which does not exist or does not count."""
    lo, hi = id_range(day, day)
    wrong: list[int] = []
    with connection.cursor() as cursor:
        cursor.execute(sql.VOUCHER_SOURCE_DAYS.format(LO=lo, HI=hi), [SOURCE_KIND])
        for (code,) in cursor.fetchall():
            bounds = {"LO": lo, "HI": hi, "SOURCE_LO": code * DAY_STEP, "SOURCE_HI": (code + 1) * DAY_STEP}
            cursor.execute(sql.VOUCHERS_WITHOUT_SOURCE.format(**bounds), [SOURCE_KIND])
            wrong.extend(pk for (pk,) in cursor.fetchall())
    return wrong


def _without_source(day: dt.date) -> list[Finding]:
    wrong = vouchers_without_source(day)
    if not wrong:
        return []
    return [
        Finding(
            CHECK,
            _("%(count)d vouchers name a transaction that does not exist or does not count.") % {"count": len(wrong)},
            context={"vouchers": [str(pk) for pk in wrong[:SHOWN]]},
        )
    ]
