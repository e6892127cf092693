"""A version of a mapped format by maker and checker ('channels.format_mapping'); versions are never edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.formats import register_family
from payops.channels.formats.generic import PREFIX
from payops.channels.formats.generic_spec import DEFAULTS, SpecError, spec_of
from payops.channels.mapping import notation
from payops.channels.mapping.models import CODE, FormatMapping
from payops.channels.mapping.selectors import find_format
from payops.identity.models import User

ACTION: Final = "channels.format_mapping"
TARGET: Final = "channels.formatmapping"


def register() -> None:
    """Make the action known to approvals and the versions known to formats; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
    )
    register_family(PREFIX, find_format)


def mapping_propose(
    *, code: str, name: str, spec: Mapping[str, Any], sample: Mapping[str, Any], reason: str, maker: User
) -> ApprovalRequest:
    """Propose a mapping as the next version of its code; `sample` is what `preview.outcome_of` found.

    Raises SpecError ('mapping.invalid') for a mapping that cannot work, and what `request_submit` raises.
    """
    try:
        CODE(code)
    except ValidationError as error:
        raise SpecError({"code": str(error.message)}) from error
    if not name.strip() or len(name) > 60:
        raise SpecError({"name": _("Give a text of at most %(limit)d characters.") % {"limit": 60}})
    spec_of(spec)
    payload = {"code": code, "name": name, "spec": {**DEFAULTS, **spec}, "sample": dict(sample)}
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=code,
        payload=payload,
        amount=None,
        currency="",
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def _latest(code: str) -> int:
    return FormatMapping.objects.filter(code=code).aggregate(latest=Max("version"))["latest"] or 0


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """The version in force: what is proposed was made from it."""
    return str(_latest(target_id))


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    mapping = mapping_set(payload=request.payload, by=request.maker.username, approval_id=request.pk)
    return {"mapping": mapping.pk, "version": mapping.version}


@transaction.atomic
def mapping_set(*, payload: Mapping[str, Any], by: str, approval_id: int) -> FormatMapping:
    """Add the proposed version; files received from now on are read with it."""
    spec_of(payload["spec"])
    return FormatMapping.objects.create(
        code=payload["code"],
        name=payload["name"],
        version=_latest(payload["code"]) + 1,
        spec=payload["spec"],
        made_by=by,
        approval_id=approval_id,
    )


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    sample = payload["sample"]
    rows: list[tuple[Any, Any]] = [
        (_("Code"), f"{PREFIX}{payload['code']}"),
        (_("Name"), payload["name"]),
        (
            _("Sample"),
            _("%(name)s: %(lines)d lines read, %(bad)d not readable.")
            % {"name": sample["name"], "lines": sample["lines"], "bad": sample["bad"]},
        ),
        *notation.shown(payload["spec"]),
    ]
    return Description(_title(payload), "console:mapping_list", (), rows)


def _title(payload: Mapping[str, Any]) -> str:
    return _("Mapped format “%(name)s” (%(code)s)") % {"name": payload["name"], "code": payload["code"]}
