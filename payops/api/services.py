"""Issuing and revoking the keys of machines."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from django.db import transaction
from django.utils import timezone

from payops.api.models import ApiToken
from payops.core import audit
from payops.identity.models import User

PREFIX: Final = "payops_"


def digest_of(token: str) -> str:
    """What is kept of a token; it has 256 random bits, so a plain digest cannot be guessed back."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_issue(*, user: User, name: str, issued_by: str = "system") -> str:
    """A new key for the user; the returned text is nowhere else and cannot be shown again."""
    token = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        row = ApiToken.objects.create(user=user, name=name[:60], digest=digest_of(token))
        audit.record(
            username=issued_by,
            action="api.token_issued",
            object_kind="api.apitoken",
            object_id=row.pk,
            detail={"user": user.username, "name": name},
        )
    return token


def token_revoke(*, token_id: int, revoked_by: str = "system") -> bool:
    """End a key; False when it had ended before."""
    with transaction.atomic():
        changed = ApiToken.objects.filter(pk=token_id, revoked_at__isnull=True).update(revoked_at=timezone.now())
        if changed:
            audit.record(
                username=revoked_by, action="api.token_revoked", object_kind="api.apitoken", object_id=token_id
            )
    return bool(changed)
