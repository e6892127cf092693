"""The simulator's keys: its own for each channel and those its merchant signs with, made once and kept in a folder."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

NAMES = ("wechat_platform", "wechat_merchant", "alipay_platform", "alipay_application")


@dataclass(frozen=True)
class Keys:
    """Private keys by name; a real channel would hold only the merchant's public one."""

    folder: Path

    def __post_init__(self) -> None:
        """Make what is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if not (self.folder / f"{name}.pem").exists():
                self._make(name)

    def _make(self, name: str) -> None:
        key = generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path = self.folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(private)
        (self.folder / f"{name}.pub.pem").write_bytes(public)

    def private_text(self, name: str) -> str:
        """The private key in PEM."""
        return (self.folder / f"{name}.pem").read_text()

    def public_text(self, name: str) -> str:
        """The public key in PEM."""
        return (self.folder / f"{name}.pub.pem").read_text()

    def sign(self, name: str, message: bytes) -> str:
        """SHA-256 with RSA in base64."""
        return base64.b64encode(self._private(name).sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()

    def verified(self, name: str, message: bytes, signature: str) -> bool:
        """Whether the signature is of that key."""
        try:
            raw = base64.b64decode(signature, validate=True)
            self._private(name).public_key().verify(raw, message, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def _private(self, name: str) -> RSAPrivateKey:
        key = serialization.load_pem_private_key(self.private_text(name).encode(), password=None)
        assert isinstance(key, RSAPrivateKey)
        return key
