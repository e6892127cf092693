"""The audit log: who did or saw what, when and from where."""

from __future__ import annotations

from typing import Any

from payops.core.models import AuditLog


def record(
    *,
    username: str,
    action: str,
    object_kind: str,
    object_id: str | int = "",
    detail: dict[str, Any] | None = None,
    ip: str | None = None,
) -> AuditLog:
    """Write one entry in the caller's transaction, so that it stands or falls with what it tells of.

    `username` is the person, or a name such as "system" for a job. `detail` holds what changed, as JSON values, and
    never a secret or an unmasked number.
    """
    return AuditLog.objects.create(
        username=username,
        action=action,
        object_kind=object_kind,
        object_id=str(object_id),
        detail=detail or {},
        ip=ip or None,
    )
