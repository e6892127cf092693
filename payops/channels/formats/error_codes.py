"""What UnionPay's error codes mean for us (FORMATS 4.3): kind of the row, and which way the money goes.

Only E05 stands in two independent sources; the others come from one code lineage and their effect is inferred. A
contract overrules them with the option `error_codes`, such as {"E33": ["transfer", -1]}. A code without a direction is
held where the file itself does not say it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.channels.formats.base import ADJUSTMENT, DISPUTE, FEE, KIND_CODES, REFUND, TRANSFER, FormatError
from payops.channels.formats.columns import IrregularError, show

Meaning = tuple[str, int]
"""Kind, and +1 to us, −1 from us, 0 when only the file can say."""

_CODES: Final[dict[str, Meaning]] = {
    "E05": (FEE, 0),  # reply to a copy request
    "E22": (DISPUTE, 1),  # presentment
    "E23": (DISPUTE, -1),  # chargeback
    "E24": (DISPUTE, 1),  # re-presentment
    "E25": (DISPUTE, -1),  # second chargeback
    "E32": (ADJUSTMENT, -1),  # credit adjustment
    "E33": (TRANSFER, 0),  # credit adjustment of a transfer, in
    "E34": (TRANSFER, 0),  # credit adjustment of a transfer, out
    "E35": (TRANSFER, 0),  # presentment of a transfer, in
    "E36": (TRANSFER, 0),  # presentment of a transfer, out
    "E73": (ADJUSTMENT, -1),  # exception
    "E74": (REFUND, -1),  # manual refund, original found
    "E80": (ADJUSTMENT, -1),  # credit adjustment of a deposit
    "E84": (REFUND, -1),  # manual refund, original not found
}


def error_codes(options: Mapping[str, Any]) -> dict[bytes, Meaning]:
    """The codes as a contract reads them; FormatError 'bill.bad_option' for an option that says nothing readable."""
    table = dict(_CODES)
    given = options.get("error_codes", {})
    for code, meaning in given.items() if isinstance(given, Mapping) else [("", given)]:
        pair = tuple(meaning) if isinstance(meaning, Sequence) and not isinstance(meaning, str) else ()
        if len(pair) != 2 or pair[0] not in KIND_CODES or pair[1] not in (-1, 0, 1):
            raise FormatError(
                "bill.bad_option",
                _("Format option error_codes: “%(code)s” needs a kind and a direction, such as [“dispute”, -1].")
                % {"code": code},
                {"option": "error_codes", "value": str(meaning)},
            )
        table[str(code)] = (str(pair[0]), int(pair[1]))
    return {code.encode(): meaning for code, meaning in table.items()}


def meanings(table: Mapping[bytes, Meaning], cells: Sequence[bytes]) -> list[Meaning]:
    """Kind and direction of every row; an unknown code sets its row aside."""
    try:
        return [table[cell] for cell in cells]
    except KeyError:
        raise IrregularError(
            "line.kind",
            _("Error code “%(value)s” is not known. Ask UnionPay, then name it in the option error_codes.")
            % {"value": show(cells[0])},
        ) from None
