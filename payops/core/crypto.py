"""Encryption of personal and bank data at rest, exact search over it, and masks for the screen.

`PAYOPS_ENCRYPTION_KEYS` is the key ring: {key id: base64 of 32 bytes}, a list of "id:base64" texts, or one such text
separated by commas. The first key encrypts, all of them decrypt; `reencrypt` moves rows to the first one, after which
an old key may go. The blind index has a key of its own, `PAYOPS_BLIND_INDEX_KEY` (any text): rotating encryption keys
must not change what a search looks for. Without it, it is derived from the ring's last key, which then must stay.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models, transaction
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

NONCE_BYTES: Final[int] = 12
KEY_BYTES: Final[int] = 32
_KEY_ID: Final[re.Pattern[str]] = re.compile(r"[A-Za-z0-9_-]{1,16}")


def _pairs(setting: Any) -> list[tuple[str, str]]:
    if isinstance(setting, dict):
        return list(setting.items())
    parts = setting.split(",") if isinstance(setting, str) else list(setting or ())
    return [tuple(part.strip().partition(":")[::2]) for part in parts if part.strip()]  # type: ignore[misc]


@lru_cache(maxsize=8)
def _ring(frozen: tuple[tuple[str, str], ...]) -> dict[str, bytes]:
    ring: dict[str, bytes] = {}
    for key_id, text in frozen:
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=False)
        except (binascii.Error, ValueError):
            key = b""
        if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES or key_id in ring:
            raise ImproperlyConfigured(
                f"PAYOPS_ENCRYPTION_KEYS: key {key_id!r} must have a unique id of letters and digits and be the base64 "
                f"of {KEY_BYTES} bytes"
            )
        ring[key_id] = key
    if not ring:
        raise ImproperlyConfigured("PAYOPS_ENCRYPTION_KEYS is empty: personal data cannot be stored")
    return ring


def key_ring() -> dict[str, bytes]:
    """The keys by id, the current one first."""
    setting = getattr(settings, "PAYOPS_ENCRYPTION_KEYS", None)
    return _ring(tuple((str(key_id), str(text)) for key_id, text in _pairs(setting)))


def encrypt(text: str, purpose: str = "") -> str:
    """ "<key id>:<base64 of nonce and ciphertext>"; a fresh nonce each time, so equal texts look different.

    `purpose` is bound into the ciphertext: a value moved to a column of another purpose does not decrypt.
    """
    key_id, key = next(iter(key_ring().items()))
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), f"{key_id}|{purpose}".encode())
    return f"{key_id}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def decrypt(token: str, purpose: str = "") -> str:
    """The text of `encrypt`; PayopsError 'crypto.unknown_key' or 'crypto.damaged' instead of a wrong text."""
    key_id, _colon, body = token.partition(":")
    key = key_ring().get(key_id)
    if key is None:
        raise PayopsError(
            "crypto.unknown_key",
            _("A stored value was encrypted with key “%(key)s”, which is not configured.") % {"key": key_id[:16]},
            {"key": key_id[:16]},
        )
    try:
        raw = base64.b64decode(body, altchars=b"-_", validate=True)
        plain = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], f"{key_id}|{purpose}".encode())
        return plain.decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise PayopsError("crypto.damaged", _("A stored encrypted value is damaged or was moved."), {}) from None


def is_current(token: str) -> bool:
    """Whether the value is encrypted with the current key."""
    return token.partition(":")[0] == next(iter(key_ring()))


def blind_index(value: str, purpose: str) -> str:
    """Keyed hash for exact search over an encrypted column: 64 hex digits, different for every purpose.

    The caller normalises first (no blanks in account numbers). Kept in a plain column beside the encrypted one.
    """
    return hmac.new(_blind_key(), f"{purpose}|{value}".encode(), hashlib.sha256).hexdigest()


def _blind_key() -> bytes:
    own = getattr(settings, "PAYOPS_BLIND_INDEX_KEY", "") or ""
    secret = own.encode() if isinstance(own, str) else bytes(own)
    if not secret:
        secret = list(key_ring().values())[-1]
    return hashlib.sha256(b"payops blind index|" + secret).digest()


class EncryptedTextField(models.TextField):
    """Text that is plain in Python and AES-256-GCM in the database.

    Only `isnull` can be searched; exact search goes through a `blind_index` column. The empty text stays empty.
    """

    description = "Encrypted text"

    def __init__(self, *args: Any, purpose: str = "", **kwargs: Any) -> None:
        self.purpose = purpose
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Keep the purpose in migrations."""
        name, path, args, kwargs = super().deconstruct()
        if self.purpose:
            kwargs["purpose"] = self.purpose
        return name, path, args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        text = super().get_prep_value(value)
        return encrypt(text, self.purpose) if text else text

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt on the way out."""
        return decrypt(value, self.purpose) if value else value

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse searches that could never find anything."""
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted: search its blind index instead of {lookup_name!r}")
        return super().get_lookup(lookup_name)


def reencrypt(model: type[models.Model], field_name: str, *, batch: int = 500) -> int:
    """Move a column's values to the current key after a rotation; returns how many rows were rewritten.

    Idempotent and safe to kill: every batch is its own transaction and rows done are skipped.
    """
    field = model._meta.get_field(field_name)
    if not isinstance(field, EncryptedTextField):
        raise TypeError(f"{field_name} is not encrypted")
    current = next(iter(key_ring()))
    raw = models.functions.Cast(field_name, models.TextField())
    stale = (
        model._base_manager.annotate(_token=raw)
        .exclude(_token="")
        .exclude(_token__isnull=True)
        .exclude(_token__startswith=f"{current}:")
        .order_by("pk")
    )
    count = 0
    while True:
        with transaction.atomic():
            rows = list(stale.select_for_update(of=("self",)).only("pk", field_name)[:batch])
            for row in rows:
                model._base_manager.filter(pk=row.pk).update(**{field_name: getattr(row, field_name)})
        if not rows:
            return count
        count += len(rows)


def mask_tail(value: str, keep: int = 4) -> str:
    """Everything but the last `keep` characters starred; a value not longer than that is starred whole."""
    if keep <= 0 or len(value) <= keep:
        return "*" * len(value)
    return "*" * (len(value) - keep) + value[-keep:]


def mask_card(pan: str) -> str:
    """First six and last four of a card number; blanks and dashes dropped. Too short to mask so: starred whole."""
    digits = re.sub(r"[\s-]", "", pan)
    if len(digits) < 13:
        return "*" * len(digits)
    return digits[:6] + "*" * (len(digits) - 10) + digits[-4:]
