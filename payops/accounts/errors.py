"""What the ledger's guards say, turned into errors users can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import DatabaseError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from payops.core.errors import PayopsError
from payops.core.money import format_amount

GUARDS: Final[dict[str, tuple[str, str | Promise]]] = {
    "PL001": ("ledger.unbalanced", _("The voucher does not balance and was refused: %(detail)s.")),
    "PL002": ("ledger.lines", _("The voucher is not complete and was refused: %(detail)s.")),
    "PL003": ("ledger.account", _("An account cannot take the entry: %(detail)s.")),
    "PL004": ("ledger.account_closed", _("A closed account takes no more entries: %(detail)s.")),
    "PL005": ("ledger.day_not_open", _("The accounting day is not open: %(detail)s.")),
    "PL006": ("ledger.day_closed", _("The accounting day is closed; book on the day that is open: %(detail)s.")),
    "PL007": ("ledger.day_state", _("The accounting day cannot change like that: %(detail)s.")),
    "PL008": ("ledger.isolation", _("The ledger needs another kind of transaction: %(detail)s.")),
    "PL009": ("ledger.key", _("The voucher has no posting key: %(detail)s.")),
    "PL010": ("ledger.immutable", _("This never changes once it is in the books: %(detail)s.")),
    "PL011": ("ledger.restricted", _("The account is restricted and takes no instructions: %(detail)s.")),
    "PL012": ("ledger.insufficient", _("The available balance is not enough: %(detail)s.")),
    "PL013": ("ledger.mode", _("The balance cannot follow the entries like that: %(detail)s.")),
    "PL014": ("ledger.memo", _("Memorandum accounts stand in vouchers of their own: %(detail)s.")),
    "PL015": ("ledger.diverted", _("This line was not booked for a closed account: %(detail)s.")),
    "PL016": ("corrections.registered", _("Cases, refunds and payouts are worked where they are kept: %(detail)s.")),
    "PL021": ("corrections.refused", _("The correction does not fit the books: %(detail)s.")),
    "PL022": ("ledger.not_approved", _("Nothing is booked without another person's approval: %(detail)s.")),
    "PL031": ("ledger.period", _("The balances of the period do not add up: %(detail)s.")),
    # Two transactions waited for each other, or a lock was not to be had in time: nothing was booked.
    "40P01": ("ledger.busy", _("Somebody else was booking on the same accounts. Try again in a moment.")),
    "55P03": ("ledger.busy", _("Somebody else was booking on the same accounts. Try again in a moment.")),
}
RETRYABLE: Final = frozenset({"40P01", "55P03"})


@contextmanager
def guard_errors(currency: str = "") -> Iterator[None]:
    """Turns the guards' refusals into PayopsError; other database errors pass. `currency`: of amounts in them."""
    try:
        yield
    except DatabaseError as error:
        state = getattr(error.__cause__, "sqlstate", None) or ""
        if state not in GUARDS:
            raise
        if state == "PL012" and currency:
            raise _insufficient(error.__cause__.diag.message_detail, currency) from error
        code, text = GUARDS[state]
        detail = str(error.__cause__).splitlines()[0]
        context = {"detail": detail, **({"retryable": True} if state in RETRYABLE else {})}
        raise PayopsError(code, text % {"detail": detail}, context) from error


def _insufficient(detail: str, currency: str) -> PayopsError:
    """What the database says in minor units (account|available|needed), in amounts of the currency."""
    account_no, available, needed = detail.split("|")
    return PayopsError(
        "ledger.insufficient",
        _("Account %(account)s has %(available)s %(currency)s available, %(needed)s %(currency)s are needed.")
        % {
            "account": account_no,
            "available": format_amount(int(available), currency),
            "needed": format_amount(int(needed), currency),
            "currency": currency,
        },
        {"account_no": account_no, "available": int(available), "needed": int(needed), "currency": currency},
    )
