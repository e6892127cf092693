"""What WeChat's API answers when there is no bill (FORMATS 1.1): XML of version 2, JSON of version 3.

Such an answer is often kept as if it were the bill. Text is searched, never parsed as XML.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from django.utils.translation import gettext as _

from payops.channels.formats.base import FormatError
from payops.channels.formats.refusals import not_a_bill


def refuse_answer(body: bytes, name: str, kind: str) -> NoReturn:
    """Raise what an answer of the API means: 'bill.creating', 'bill.no_bill' or 'bill.not_a_bill'."""
    code, message = "", body.decode("utf-8", "replace")[:300]
    if body.startswith(b"{"):
        try:
            answer = json.loads(body)
            code, message = str(answer.get("code", "")), str(answer.get("message", message))
        except (ValueError, AttributeError, RecursionError):
            raise not_a_bill(name, kind, body) from None
    else:
        found = re.search(r"<return_msg>(?:<!\[CDATA\[)?([^<\]]{0,200})", message)
        message = found[1] if found else message
    word = f"{code} {message}".lower()
    # First, whatever code comes with it: a bill that is being made is never an empty day.
    if "statement_creating" in word or "bill creating" in word:
        raise FormatError(
            "bill.creating",
            _("WeChat answered “%(message)s”: the bill is still being made. Fetch it again later.")
            % {"message": message},
            {"answer": message},
        )
    if "no_statement_exist" in word or "no bill exist" in word or "20002" in body.decode("utf-8", "replace"):
        raise FormatError(
            "bill.no_bill",
            _("WeChat answered “%(message)s”: there is no bill for this day. Before 10:00 ask again later.")
            % {"message": message},
            {"answer": message},
        )
    raise FormatError(
        "bill.not_a_bill",
        _("“%(name)s” is an answer of the API, not a bill: “%(message)s”.") % {"name": name, "message": message[:120]},
        {"answer": message[:300]},
    )
