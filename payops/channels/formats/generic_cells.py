"""Single cells of a mapped file: amounts to minor units, formulas refused, payers masked."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.columns import IrregularError, mask_tails
from payops.channels.formats.generic_spec import Spec
from payops.channels.formats.generic_xlsx import ERROR, FORMULA

LARGEST: Final = 10**15
"""Minor units no single amount reaches."""


def minor_units(text: str, name: str, spec: Spec, decimals: int) -> int:
    """A figure in minor units of a currency with so many decimals, exactly: nothing is rounded."""
    value = text.strip()
    sign = -1 if value.startswith("-") else 1
    digits = value[1:] if value[:1] in ("-", "+") else value
    whole, mark, fraction = digits.partition(spec.decimal) if spec.unit == "major" else (digits, "", "")
    if spec.thousands:
        groups = whole.split(spec.thousands)
        if len(groups) > 1 and (not 1 <= len(groups[0]) <= 3 or any(len(group) != 3 for group in groups[1:])):
            groups = ["?"]
        whole = "".join(groups)
    plain = whole.isascii() and whole.isdigit() and (not mark or (fraction.isascii() and fraction.isdigit()))
    if not plain or len(whole) > 15:
        raise IrregularError(
            "line.amount",
            _("“%(value)s” in column %(name)s is not an amount.") % {"value": text[:60], "name": name},
        )
    if spec.unit == "minor":
        found = int(whole)
    else:
        if fraction[decimals:].strip("0"):
            raise IrregularError(
                "line.amount_decimals",
                _("“%(value)s” in column %(name)s has more than %(count)d decimals.")
                % {"value": text[:60], "name": name, "count": decimals},
            )
        found = int(whole) * 10**decimals + int(fraction[:decimals].ljust(decimals, "0") or "0")
    if found >= LARGEST:
        raise IrregularError(
            "line.amount",
            _("“%(value)s” in column %(name)s is larger than any amount.") % {"value": text[:60], "name": name},
        )
    return sign * found


def refuse_formula(text: str, name: str, *, numeric: bool) -> None:
    """Raise for what a spreadsheet computed; an amount may begin with a sign."""
    if text.startswith(ERROR):
        raise IrregularError(
            "line.cell_error",
            _("Column %(name)s holds an error of the spreadsheet (%(value)s). Load the file as the channel sent it.")
            % {"name": name, "value": text[2:42] or "–"},
        )
    if text.startswith(FORMULA) or (text[:1] in ("=", "@", "+") and not numeric):
        raise IrregularError(
            "line.formula",
            _("Column %(name)s holds a formula (%(value)s), not a value. Load the file as the channel sent it.")
            % {"name": name, "value": text.replace("\x00", "")[:40]},
        )


def masked_payers(texts: list[str]) -> list[bytes]:
    """Payers with all but their last four characters hidden; four characters of a name are no four bytes."""
    if all(map(str.isascii, texts)):
        return mask_tails([text.encode() for text in texts])
    return [(f"****{text[-4:]}" if len(text) > 8 else "****" if text else "").encode() for text in texts]
