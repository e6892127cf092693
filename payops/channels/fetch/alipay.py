"""Alipay: `alipay.data.dataservice.bill.downloadurl.query`, signed with RSA2, its verified answer, and the download.

The parameters are signed sorted by name as `name=value` joined with `&`. The answer is JSON with the node
`…_response` and `sign`, which is over the node's text exactly as it came. The link lives 30 seconds, so it is used at
once; the zip is kept as it comes.
"""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from payops.channels.fetch.checks import secret_of
from payops.channels.fetch.choices import FetchOutcome
from payops.channels.fetch.deliveries import Delivery
from payops.channels.fetch.errors import FetchError
from payops.channels.fetch.keys import private_key, public_key, sign, verified
from payops.channels.fetch.models import FileSource
from payops.channels.fetch.web import Answer, ask, checked_link

METHOD: Final = "alipay.data.dataservice.bill.downloadurl.query"
NODE: Final = METHOD.replace(".", "_") + "_response"
DOMAIN: Final = ".alipay.com"
SUCCESS: Final = "10000"
BUSY: Final = "20000"
DOWNLOADS: Final = 2
_BEIJING: Final = ZoneInfo("Asia/Shanghai")


class AlipayAdapter:
    """An account's business detail (trade) or accounting detail (signcustomer)."""

    def __init__(self, source: FileSource) -> None:
        self.address = source.address
        self.app_id = str(source.options["app_id"])
        self.bill = str(source.options.get("bill", "trade"))
        self.alipay_key = public_key(str(source.options["alipay_key"]), "alipay_key")
        self.key = private_key(secret_of(source))

    def deliveries(self, day: dt.date | None, folder: Path, today: dt.date) -> Iterator[Delivery]:
        """The bill of `day`."""
        if day is None:
            return
        path = folder / "bill"
        for attempt in range(1, DOWNLOADS + 1):
            link = checked_link(self._link(day), self.address, DOMAIN)
            answer = ask("GET", link, headers={}, into=path)
            if answer.status == 200 and zipfile.is_zipfile(path):
                break
            if attempt == DOWNLOADS:
                raise FetchError(
                    FetchOutcome.UNREACHABLE,
                    _("Alipay's link gave no packed bill (status %(status)d). It is asked for again.")
                    % {"status": answer.status},
                )
        yield Delivery(_file_name(link, f"{self.app_id}_{day:%Y%m%d}.csv.zip"), path, day)

    def _link(self, day: dt.date) -> str:
        content = {"bill_type": self.bill, "bill_date": day.isoformat()}
        parameters = {
            "app_id": self.app_id,
            "method": METHOD,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": dt.datetime.now(_BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "biz_content": json.dumps(content, separators=(",", ":")),
        }
        parameters["sign"] = sign(self.key, signed_text(parameters).encode())
        answer = ask(
            "POST",
            self.address,
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
            body=urlencode(parameters).encode(),
        )
        return self._read(answer)

    def _read(self, answer: Answer) -> str:
        if answer.status != 200:
            raise FetchError(
                FetchOutcome.UNREACHABLE,
                _("Alipay is busy and answers with status %(status)d.") % {"status": answer.status},
            )
        node, text, signature = _parts(answer.body)
        code = str(node.get("code", ""))
        sub_code = str(node.get("sub_code", "")).replace("-", "_").upper()
        # What a decision rests on is believed only with a signature; a refusal does no harm without.
        if code == SUCCESS or "BILL_NOT_EXIST" in sub_code:
            if not verified(self.alipay_key, text, signature):
                raise FetchError(
                    FetchOutcome.REFUSED, _("The signature of Alipay's answer is not valid. Nothing was taken.")
                )
            if code == SUCCESS:
                return str(node.get("bill_download_url", ""))
            raise FetchError(
                FetchOutcome.NO_BILL,
                _("Alipay answered “%(message)s”: there is no bill for this day.") % {"message": _said(node)},
                answer=answer.body,
            )
        outcome = FetchOutcome.UNREACHABLE if code == BUSY else FetchOutcome.MISCONFIGURED
        raise FetchError(outcome, _("Alipay refuses: “%(message)s”.") % {"message": _said(node)})


def signed_text(parameters: dict[str, str]) -> str:
    """What is signed of a request: everything but the signature and what is empty, sorted by name."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if name != "sign" and value)


def _parts(body: bytes) -> tuple[dict[str, Any], bytes, str]:
    """The answer's node, its text exactly as signed, and the signature."""
    try:
        text = body.decode("utf-8")
        whole = json.loads(text)
        name = NODE if NODE in whole else "error_response"
        start = text.index(":", text.index(f'"{name}"')) + 1
        start += len(text[start:]) - len(text[start:].lstrip())
        node, end = json.JSONDecoder().raw_decode(text, start)
        if not isinstance(node, dict):
            raise TypeError
    except (ValueError, TypeError, RecursionError) as error:
        raise FetchError(FetchOutcome.UNREACHABLE, _("Alipay's answer cannot be read.")) from error
    return node, text[start:end].encode(), str(whole.get("sign", ""))


def _said(node: dict[str, Any]) -> str:
    parts = (node.get("sub_code"), node.get("sub_msg") or node.get("msg"))
    return " ".join(str(part) for part in parts if part)[:200]


def _file_name(link: str, default: str) -> str:
    named = parse_qs(urlsplit(link).query).get("downloadFileName", [""])[0]
    return Path(named).name[:200] or default
