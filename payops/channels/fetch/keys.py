"""RSA keys of the HTTP adapters: SHA-256 with PKCS#1 v1.5, which both WeChat Pay and Alipay (RSA2) use."""

from __future__ import annotations

import base64
import binascii
import textwrap

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

SMALLEST_BITS = 2048


def private_key(text: str) -> RSAPrivateKey:
    """An RSA private key from PEM or, as Alipay's tools write it, from bare base64; PayopsError 'fetch.bad_secret'."""
    for label in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        try:
            key = serialization.load_pem_private_key(_pem(text, label), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, RSAPrivateKey) and key.key_size >= SMALLEST_BITS:
            return key
    # The text itself never appears in a message: it may be the right key with one character missing.
    raise PayopsError(
        "fetch.bad_secret", _("The private key is no RSA key of at least 2048 bits."), {"field": "secret"}
    )


def public_key(text: str, field: str = "key") -> RSAPublicKey:
    """An RSA public key from PEM, a certificate or bare base64; PayopsError 'fetch.bad_<field>'."""
    try:
        if "BEGIN CERTIFICATE" in text:
            key = x509.load_pem_x509_certificate(text.encode()).public_key()
        else:
            key = serialization.load_pem_public_key(_pem(text, "PUBLIC KEY"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or key.key_size < SMALLEST_BITS:
        raise PayopsError(
            f"fetch.bad_{field}", _("The public key is no RSA key of at least 2048 bits."), {"field": field}
        )
    return key


def check_private_key(text: str) -> None:
    """Refuse what is no private key."""
    private_key(text)


def check_public_key(text: str, field: str) -> None:
    """Refuse what is no public key."""
    public_key(text, field)


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """The signature in base64."""
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


def verified(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether the signature in base64 is of this message."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _pem(text: str, label: str) -> bytes:
    text = text.strip()
    if text.startswith("-----BEGIN"):
        return text.encode()
    body = "\n".join(textwrap.wrap("".join(text.split()), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()
