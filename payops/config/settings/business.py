"""Settings of the business: encryption keys, limits, and the bank the payouts go to."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from payops.config.settings.environment import (
    PAYOPS_VAR_DIR,
    flag,
    local_secret,
    number,
    required_in_production,
    text,
)

__all__ = [
    "BANK_SIMULATOR_URL",
    "PAYOPS_ALERT_EMAIL",
    "PAYOPS_BANK_CLIENT",
    "PAYOPS_BANK_TIMEOUT_SECONDS",
    "PAYOPS_BILL_READERS",
    "PAYOPS_BLIND_INDEX_KEY",
    "PAYOPS_ENCRYPTION_KEYS",
    "PAYOPS_FETCH_TIMEOUT_SECONDS",
    "PAYOPS_FILES_DIR",
    "PAYOPS_HOT_ENTRIES_PER_MINUTE",
    "PAYOPS_INBOX_DIR",
    "PAYOPS_MAX_BILL_LINES",
    "PAYOPS_MAX_UNPACKED_BYTES",
    "PAYOPS_MAX_UPLOAD_BYTES",
    "PAYOPS_MERCHANT_MAX_UPLOAD_BYTES",
    "PAYOPS_RUN_BUCKET_LINES",
    "PAYOPS_SECRETS_DIR",
    "PAYOPS_TIMETABLE",
]

KEY_BYTES = 32


def parse_keys(value: str) -> dict[str, str]:
    """``id:base64key,id:base64key``; the first encrypts, all decrypt. A key is 32 bytes."""
    keys: dict[str, str] = {}
    for part in value.split(","):
        name, colon, key = part.strip().partition(":")
        try:
            size = len(base64.urlsafe_b64decode(key))
        except ValueError:
            size = 0
        if not colon or not name.isalnum() or size != KEY_BYTES:
            raise ImproperlyConfigured(
                f"PAYOPS_ENCRYPTION_KEYS: the part beginning {name[:8]!r} is not id:key with a key of 32 bytes in "
                "base64. Make a key with `head -c 32 /dev/urandom | base64 | tr '+/' '-_'`."
            )
        keys[name] = key
    return keys


def new_key() -> str:
    return "dev:" + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


PAYOPS_ENCRYPTION_KEYS = parse_keys(
    required_in_production(
        "PAYOPS_ENCRYPTION_KEYS",
        "bank accounts and identity numbers are encrypted with it",
        lambda: local_secret("encryption_keys", new_key),
    )
)
# Apart from the key ring, so that retiring an old encryption key does not break exact search.
PAYOPS_BLIND_INDEX_KEY = required_in_production(
    "PAYOPS_BLIND_INDEX_KEY",
    "encrypted numbers are searched with it; it never changes",
    lambda: local_secret("blind_index_key"),
)
PAYOPS_TIMETABLE = flag("PAYOPS_TIMETABLE", default=False)
PAYOPS_HOT_ENTRIES_PER_MINUTE = number("PAYOPS_HOT_ENTRIES_PER_MINUTE", 600)
PAYOPS_FILES_DIR = Path(text("PAYOPS_FILES_DIR", str(PAYOPS_VAR_DIR / "files")))
# Watched folders and files of secrets are named in the console, so they lie below folders that are not.
PAYOPS_INBOX_DIR = Path(text("PAYOPS_INBOX_DIR", str(PAYOPS_VAR_DIR / "inbox")))
PAYOPS_SECRETS_DIR = Path(text("PAYOPS_SECRETS_DIR", str(PAYOPS_VAR_DIR / "secrets")))
PAYOPS_FETCH_TIMEOUT_SECONDS = number("PAYOPS_FETCH_TIMEOUT_SECONDS", 20)
PAYOPS_MAX_UPLOAD_BYTES = number("PAYOPS_MAX_UPLOAD_BYTES", 2 * 1024**3)
PAYOPS_MERCHANT_MAX_UPLOAD_BYTES = number("PAYOPS_MERCHANT_MAX_UPLOAD_BYTES", 20 * 1024**2)
PAYOPS_MAX_UNPACKED_BYTES = number("PAYOPS_MAX_UNPACKED_BYTES", 8 * 1024**3)
PAYOPS_MAX_BILL_LINES = number("PAYOPS_MAX_BILL_LINES", 20_000_000)
PAYOPS_BILL_READERS = number("PAYOPS_BILL_READERS", 4)
PAYOPS_RUN_BUCKET_LINES = number("PAYOPS_RUN_BUCKET_LINES", 0)
BANK_SIMULATOR_URL = text("BANK_SIMULATOR_URL", "http://127.0.0.1:8097")
PAYOPS_BANK_CLIENT = text("PAYOPS_BANK_CLIENT", "payops.settlement.bank.HttpBank")
PAYOPS_BANK_TIMEOUT_SECONDS = number("PAYOPS_BANK_TIMEOUT_SECONDS", 5)
PAYOPS_ALERT_EMAIL = text("PAYOPS_ALERT_EMAIL")
