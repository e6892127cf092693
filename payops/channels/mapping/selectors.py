"""Reads of mapped formats; `find_format` is how `formats.get_format` comes to them."""

from __future__ import annotations

import re
from typing import Final

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from payops.channels.formats import FormatError
from payops.channels.formats.generic import PREFIX, GenericFormat
from payops.channels.formats.generic_spec import spec_of
from payops.channels.mapping.models import FormatMapping

_CODE: Final = re.compile(rf"{PREFIX}([a-z0-9_-]+)(?:@([0-9]{{1,9}}))?")


def mappings_in_force() -> QuerySet[FormatMapping]:
    """The latest version of every code, by code."""
    return FormatMapping.objects.order_by("code", "-version").distinct("code")


def mapping_of(format_code: str) -> FormatMapping | None:
    """The version a format code names, the latest when it names none; None for other formats and unknown ones."""
    match = _CODE.fullmatch(format_code)
    if match is None:
        return None
    versions = FormatMapping.objects.filter(code=match[1])
    return versions.filter(version=int(match[2])).first() if match[2] else versions.order_by("-version").first()


def find_format(format_code: str) -> GenericFormat:
    """The mapped format with this code; FormatError 'bill.unknown_format' names those there are."""
    mapping = mapping_of(format_code)
    if mapping is None:
        known = [f"{PREFIX}{code}" for code in FormatMapping.objects.values_list("code", flat=True).distinct()[:20]]
        raise FormatError(
            "bill.unknown_format",
            _("Bill format “%(code)s” is not known. Use one of: %(known)s.")
            % {"code": format_code, "known": ", ".join(sorted(known)) or "–"},
            {"code": format_code},
        )
    return GenericFormat(mapping.format_code, mapping.name, spec_of(mapping.spec))
