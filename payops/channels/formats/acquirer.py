"""What UnionPay's acquirer files share (FORMATS 4): their names, the acquirer in every row, the joining key.

The key of a trade everywhere is 代理机构 + 发送机构 + 跟踪号 + 传输时间; it stands as `trade_no`, with hyphens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.base import FormatError
from payops.channels.formats.fixed_width import FixedWidthReader

FAMILY: Final = "unionpay_acquirer"
_NAME: Final = re.compile(r"\bI(?:ND|[0-9A-Z]{2})(\d{6})\d{2}(ACOM|ACOMN|ACOMA|AERR|AERRN|AERRA|ALFEE)\b")

KIND_NAMES: Final = {
    "ACOMN": gettext_lazy("UnionPay acquirer detail (ACOMN)"),
    "ACOMA": gettext_lazy("UnionPay agent-cleared detail (ACOMA)"),
    "AERR": gettext_lazy("UnionPay acquirer error file (AERR)"),
    "ALFEE": gettext_lazy("UnionPay brand fee file (ALFEE)"),
}
_KIND_OF: Final = {"ACOM": "ACOMN", "AERRN": "AERR", "AERRA": "AERR"}


class AcquirerReader(FixedWidthReader):
    """One pass over one acquirer file."""

    file_kind: str

    def check_name(self) -> None:
        """Day and kind of the name; the acquirer stands in the rows only."""
        match = self.name_matches(_NAME)
        if match is None:
            return
        day, kind = match.groups()
        kind = _KIND_OF.get(kind, kind)
        if kind != self.file_kind:
            raise self.other_file(KIND_NAMES[kind])
        self.check_day_of_name(day)

    def check_acquirer(self, numbers: Sequence[int], cells: Sequence[bytes]) -> None:
        """Every row must be the contract's acquirer's."""
        stripped = [cell.strip() for cell in cells]
        if set(stripped) != {self._account}:
            index = next(i for i, cell in enumerate(stripped) if cell != self._account)
            found = stripped[index].decode(errors="replace")
            raise FormatError(
                "bill.wrong_account",
                _("Row %(row)s belongs to acquirer %(found)s, but this contract is %(expected)s.")
                % {"row": numbers[index], "found": found or "–", "expected": self.expect.account},
                {"line_no": numbers[index], "found": found, "expected": self.expect.account},
            )
