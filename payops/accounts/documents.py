"""What corrections and manual vouchers share: their numbers, and finding the account somebody wrote down."""

from __future__ import annotations

import datetime as dt

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext as _

from payops.accounts.chart import normalised
from payops.accounts.choices import AccountStatus
from payops.accounts.models import Account
from payops.core.errors import PayopsError

CHOICES_SHOWN = 20


def next_numbers(prefix: str, day: dt.date, count: int = 1) -> list[str]:
    """New document numbers, e.g. MV261116000042: prefix, day, and a sequence that never repeats."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('accounts_document_n') FROM generate_series(1, %s)", [count])
        return [f"{prefix}{day:%y%m%d}{row[0]:06d}" for row in cursor.fetchall()]


def account_find(text: str, currency: str = "") -> Account:
    """The account a person means: its number, or subject and owner ("2202.02 M100001", "3001.03").

    Raises PayopsError 'ledger.unknown_account', or 'ledger.account_unclear' when several fit; the message names them.
    """
    wanted = text.strip()
    rows = Account.objects.select_related("subject")
    found = rows.filter(account_no=wanted).first()
    if found is not None:
        return found
    code, _blank, owner = wanted.partition(" ")
    fitting = rows.filter(subject__code=normalised(code), owner_no=owner.strip()) if wanted else rows.none()
    if currency:
        fitting = fitting.filter(currency=currency)
    candidates = list(fitting.order_by("account_no")[: CHOICES_SHOWN + 1])
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise PayopsError(
            "ledger.account_unclear",
            _("“%(text)s” may be %(accounts)s. Write the number of the one you mean.")
            % {"text": wanted, "accounts": ", ".join(account.account_no for account in candidates[:CHOICES_SHOWN])},
            {"account_no": wanted},
        )
    raise PayopsError(
        "ledger.unknown_account",
        _("There is no account “%(account)s”. Write its number, or its subject and owner such as “2202.02 M100001”.")
        % {"account": wanted},
        {"account_no": wanted},
    )


def accounts_matching(text: str, currency: str = "") -> list[Account]:
    """Accounts to choose from: number, subject or owner begins with the word; with two words subject and owner do."""
    words = text.split()
    if not words:
        return []
    subject = Q(subject__code__startswith=normalised(words[0]))
    if len(words) == 1:
        fitting = subject | Q(account_no__startswith=words[0]) | Q(owner_no__startswith=words[0])
    else:
        fitting = subject & Q(owner_no__startswith=words[1])
    rows = Account.objects.filter(fitting).exclude(status=AccountStatus.CLOSED).select_related("subject")
    return list((rows.filter(currency=currency) if currency else rows).order_by("account_no")[:CHOICES_SHOWN])
