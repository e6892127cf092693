"""A file source made, changed or ended by maker and checker ('channels.file_source'); versions are never edited.

The secret stands in the proposal encrypted. A change that brings none keeps the one before, as
long as the address stays.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.choices import BillType
from payops.channels.fetch.checks import plain_options, source_check
from payops.channels.fetch.choices import OPTION_LABELS, SourceKind
from payops.channels.fetch.models import FileSource
from payops.channels.models import ChannelContract
from payops.core.crypto import decrypt, encrypt
from payops.core.errors import PayopsError
from payops.identity.models import User

ACTION: Final = "channels.file_source"
TARGET: Final = "channels.filesource"
SECRET_PURPOSE: Final = "channels.file_source.proposal"  # noqa: S105 - what the secret is for, not a secret
_PLAIN: Final = ("name", "kind", "bill_type", "address", "secret_file", "every_minutes", "active")
_TIMES: Final = ("first_try", "deadline", "empty_after")


def source_current(contract: ChannelContract, name: str) -> FileSource | None:
    """The version of a source in force."""
    return FileSource.objects.filter(contract=contract, name=name, is_current=True).first()


def source_propose(*, source: FileSource, reason: str, maker: User) -> ApprovalRequest:
    """Propose an unsaved source as the next version of its name. Without a secret the present one is kept,
    unless the address is another.

    Raises what `source_check` and `request_submit` raise, and 'fetch.bad_kind' for a source that would turn into
    another kind.
    """
    before = source_current(source.contract, source.name)
    new_secret = source.secret
    _inherit(source, before)
    source_check(source)
    payload = {
        **{field: getattr(source, field) for field in _PLAIN},
        **{field: value.isoformat("minutes") if (value := getattr(source, field)) else None for field in _TIMES},
        "contract": source.contract.code,
        "first_day": source.first_day.isoformat(),
        "options": plain_options(source),
        "secret": encrypt(new_secret, SECRET_PURPOSE) if new_secret else "",
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=f"{source.contract.code}/{source.name}",
        payload=payload,
        amount=None,
        currency="",
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def _inherit(source: FileSource, before: FileSource | None) -> None:
    if before is None:
        return
    if before.kind != source.kind:
        raise PayopsError(
            "fetch.bad_kind",
            _("Source “%(name)s” is a %(kind)s. End it and make another.")
            % {"name": before.name, "kind": before.get_kind_display()},
            {"field": "name"},
        )
    # A secret given for one address is never sent to another.
    if not source.secret and not source.secret_file and before.address == source.address:
        source.secret, source.secret_file = before.secret, before.secret_file


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
    )


def _fingerprint(_target_kind: str, target_id: str) -> str:
    code, _slash, name = target_id.partition("/")
    current = FileSource.objects.filter(contract__code=code, name=name, is_current=True)
    return str(current.values_list("pk", flat=True).first())


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    source = source_set(payload=request.payload, request=request)
    return {"source": source.pk, "version": source.version}


@transaction.atomic
def source_set(*, payload: dict[str, Any], request: ApprovalRequest) -> FileSource:
    """Put the proposed version in the place of the one before; tries from now on follow it."""
    contract = ChannelContract.objects.get(code=payload["contract"])
    source = FileSource(
        **{field: payload[field] for field in _PLAIN},
        **{field: dt.time.fromisoformat(payload[field]) if payload[field] else None for field in _TIMES},
        contract=contract,
        first_day=dt.date.fromisoformat(payload["first_day"]),
        options=payload["options"],
        secret=decrypt(payload["secret"], SECRET_PURPOSE) if payload["secret"] else "",
        made_by=request.maker.username,
        approval=request,
    )
    before = source_current(contract, source.name)
    _inherit(source, before)
    source_check(source)
    if before is not None:
        FileSource.objects.filter(pk=before.pk).update(is_current=False)
        source.version = before.version + 1
    source.save(force_insert=True)
    return source


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    secret = _("a new one") if payload["secret"] else payload["secret_file"] or _("unchanged")
    rows: list[tuple[Any, Any]] = [
        (_("Channel"), payload["contract"]),
        (_("Source"), payload["name"]),
        (_("Kind"), SourceKind(payload["kind"]).label),
        (_("Type"), BillType(payload["bill_type"]).label),
        (_("Address"), payload["address"]),
        *((OPTION_LABELS.get(name, name), _short(value)) for name, value in sorted(payload["options"].items())),
        (_("Secret"), secret if payload["kind"] != SourceKind.FOLDER else "–"),
        (_("First channel day"), payload["first_day"]),
        (_("First try"), payload["first_try"]),
        (_("Every (minutes)"), str(payload["every_minutes"])),
        (_("Deadline"), payload["deadline"]),
        (_("Empty day from"), payload["empty_after"] or "–"),
    ]
    return Description(_title(payload), "console:file_source_list", (), rows)


def _short(value: Any) -> str:
    """A setting on one line; of a key its end tells it from another."""
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:40]} … {text[-60:]}"


def _title(payload: dict[str, Any]) -> str:
    title = (
        _("File source “%(name)s” of %(channel)s")
        if payload["active"]
        else _("End file source “%(name)s” of %(channel)s")
    )
    return title % {"name": payload["name"], "channel": payload["contract"]}
