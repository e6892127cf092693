"""django-hordak's own API on a database of its own, driven by `bench.ledger`: one voucher of four legs at a time.

Runs in an environment of its own (bench/requirements.txt), because payops does not depend on it. Reads a number of
vouchers per line from standard input and answers with the seconds they took.

    python bench/hordak_baseline.py postgresql://…/scratch ACCOUNTS
"""

from __future__ import annotations

import sys
import time
from datetime import date
from urllib.parse import parse_qsl, unquote, urlsplit

import django
from django.conf import settings

MERCHANT_ACCOUNTS = 3
PRIME = 7919


def configure(url: str) -> None:
    """Django with nothing but hordak."""
    parts = urlsplit(url)
    place = dict(parse_qsl(parts.query))
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "hordak"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": unquote(parts.path.strip("/")),
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": place.get("host", parts.hostname or ""),
                "PORT": place.get("port", str(parts.port or "")),
            }
        },
        DEFAULT_CURRENCY="CNY",
        CURRENCIES=["CNY"],
        HORDAK_MAX_DIGITS=20,
        USE_TZ=True,
    )
    django.setup()


def main() -> None:
    configure(sys.argv[1])
    from django.core.management import call_command
    from django.db import transaction
    from hordak.models import Account, AccountType, Leg, Transaction
    from moneyed import Money

    call_command("migrate", verbosity=0)
    merchants = int(sys.argv[2]) // MERCHANT_ACCOUNTS
    with transaction.atomic(), Account.objects.disable_mptt_updates():
        tree = {"lft": 1, "rght": 2, "level": 0}
        accounts = [
            [
                Account(name=f"{n}-{k}", type=AccountType.liability, currencies=["CNY"], tree_id=n * 3 + k + 1, **tree)
                for k in range(MERCHANT_ACCOUNTS)
            ]
            for n in range(merchants)
        ]
        hot = Account(name="hot", type=AccountType.income, currencies=["CNY"], tree_id=10**6, **tree)
        Account.objects.bulk_create([account for group in accounts for account in group] + [hot])

    def post(n: int) -> None:
        pending, receivable, settlement = accounts[n * PRIME % merchants]
        amount, fee = Money((1_000 + n % 9_000) / 100, "CNY"), Money((6 + n % 50) / 100, "CNY")
        with transaction.atomic():
            voucher = Transaction.objects.create(description=f"bench {n}", date=date(2026, 11, 20))
            Leg.objects.create(transaction=voucher, account=pending, debit=amount)
            Leg.objects.create(transaction=voucher, account=receivable, debit=fee)
            Leg.objects.create(transaction=voucher, account=settlement, credit=amount)
            Leg.objects.create(transaction=voucher, account=hot, credit=fee)

    done = 0
    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        begun = time.perf_counter()
        for n in range(done, done + count):
            post(n)
        done += count
        print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main()
