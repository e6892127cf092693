"""WeChat Pay v3: the signed request for a bill, its verified answer, the download and its hash.

`GET /v3/bill/tradebill` or `/v3/bill/fundflowbill` with the day gives `download_url`, `hash_type` and `hash_value`. The
request is signed (WECHATPAY2-SHA256-RSA2048) over method, path with query, time stamp, nonce and body; every answer but
the download itself carries the platform's signature over time stamp, nonce and body. The hash is of the unpacked text,
and that is what is kept: the packing may differ from one download to the next, the bill does not.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.fetch.checks import secret_of
from payops.channels.fetch.choices import FetchOutcome
from payops.channels.fetch.deliveries import PIECE, Delivery
from payops.channels.fetch.errors import FetchError
from payops.channels.fetch.keys import private_key, public_key, sign, verified
from payops.channels.fetch.models import FileSource
from payops.channels.fetch.web import Answer, ask, checked_link, path_of
from payops.channels.formats import FormatError
from payops.channels.formats.wechat_answers import refuse_answer

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
DOMAIN: Final = ".mch.weixin.qq.com"
CLOCKS_APART_SECONDS: Final = 300
HASHES: Final = {"SHA1": "sha1"}
DOWNLOADS: Final = 2
"""A link lives for seconds to minutes; when it has died, one more is asked for."""


class WechatAdapter:
    """A merchant's trade bill or fund-flow bill."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.address = source.address.rstrip("/")
        self.mchid = str(source.options["mchid"])
        self.serial_no = str(source.options["serial_no"])
        self.platform_serial = str(source.options["platform_serial"])
        self.platform_key = public_key(str(source.options["platform_key"]), "platform_key")
        self.bill = str(source.options.get("bill", "trade"))
        self.key = private_key(secret_of(source))

    def deliveries(self, day: dt.date | None, folder: Path, today: dt.date) -> Iterator[Delivery]:
        """The bill of `day`."""
        if day is None:
            return
        path = folder / "bill"
        for attempt in range(1, DOWNLOADS + 1):
            offer = self._offer(day)
            link = checked_link(offer.get("download_url"), self.address, DOMAIN)
            packed = folder / "packed"
            answer = ask("GET", link, headers=self._headers("GET", link), into=packed)
            if answer.status == 200:
                break
            if attempt == DOWNLOADS:
                raise FetchError(
                    FetchOutcome.UNREACHABLE,
                    _("The download link was refused with status %(status)d.") % {"status": answer.status},
                )
        _unpack(packed, path)
        self._check_hash(path, offer)
        word = "All" if self.bill == "trade" else "FundFlow"
        yield Delivery(f"{self.mchid}{word}{day.isoformat()}.csv", path, day)

    def _offer(self, day: dt.date) -> dict[str, Any]:
        query = {"bill_date": day.isoformat(), "tar_type": "GZIP"}
        if self.bill == "trade":
            query["bill_type"] = "ALL"
        else:
            query["account_type"] = str(self.source.options.get("account_type", "BASIC"))
        url = f"{self.address}/v3/bill/{self.bill}bill?{urlencode(query)}"
        answer = ask("GET", url, headers={"Accept": "application/json", **self._headers("GET", url)})
        if answer.status in (401, 403):
            # Whoever does not know us signs nothing for us; believing a refusal does no harm.
            raise FetchError(
                FetchOutcome.MISCONFIGURED,
                _("WeChat Pay refuses merchant number, certificate or key: “%(message)s”.")
                % {"message": _message(answer)},
            )
        if answer.status >= 500 or answer.status == 429:
            raise FetchError(
                FetchOutcome.UNREACHABLE,
                _("WeChat Pay is busy and answers with status %(status)d.") % {"status": answer.status},
            )
        self._verify(answer)
        if answer.status != 200:
            raise _meaning(answer)
        return _json(answer)

    def _headers(self, method: str, url: str) -> dict[str, str]:
        stamp, nonce = str(int(time.time())), secrets.token_hex(16)
        message = f"{method}\n{path_of(urlsplit(url))}\n{stamp}\n{nonce}\n\n"
        token = (
            f'mchid="{self.mchid}",nonce_str="{nonce}",signature="{sign(self.key, message.encode())}",'
            f'timestamp="{stamp}",serial_no="{self.serial_no}"'
        )
        return {"Authorization": f"{SCHEME} {token}"}

    def _verify(self, answer: Answer) -> None:
        """The answer is WeChat Pay's, of now, and nobody changed it."""
        stamp, nonce = (answer.headers.get(f"wechatpay-{name}", "") for name in ("timestamp", "nonce"))
        serial = answer.headers.get("wechatpay-serial", "")
        if serial != self.platform_serial:
            raise FetchError(
                FetchOutcome.MISCONFIGURED,
                _("The answer is signed with platform key %(serial)s, which is not the one set up.")
                % {"serial": serial[:64] or "–"},
            )
        message = f"{stamp}\n{nonce}\n".encode() + answer.body + b"\n"
        signed = verified(self.platform_key, message, answer.headers.get("wechatpay-signature", ""))
        if not signed or not stamp.isdigit() or abs(int(stamp) - time.time()) > CLOCKS_APART_SECONDS:
            raise FetchError(
                FetchOutcome.REFUSED, _("The signature of WeChat Pay's answer is not valid. Nothing was taken.")
            )

    def _check_hash(self, path: Path, offer: dict[str, Any]) -> None:
        name = HASHES.get(str(offer.get("hash_type", "")).upper())
        if name is None:
            raise FetchError(
                FetchOutcome.REFUSED,
                _("The bill's hash is of the unknown kind “%(kind)s”.") % {"kind": str(offer.get("hash_type"))[:20]},
            )
        with path.open("rb") as stream:
            # The kind of hash is WeChat Pay's choice, not ours.
            found = hashlib.file_digest(stream, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()
        if not hmac.compare_digest(found, str(offer.get("hash_value", "")).lower()):
            raise FetchError(
                FetchOutcome.REFUSED, _("The bill's hash is not the one WeChat Pay announced. It is fetched again.")
            )


def _unpack(packed: Path, path: Path) -> None:
    with packed.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            packed.rename(path)
            return
    size, limit = 0, settings.PAYOPS_MAX_UNPACKED_BYTES
    try:
        with gzip.open(packed, "rb") as stream, path.open("wb") as out:
            while piece := stream.read(PIECE):
                size += len(piece)
                if size > limit:
                    raise FetchError(
                        FetchOutcome.REFUSED, _("The file is larger than %(limit)d bytes.") % {"limit": limit}
                    )
                out.write(piece)
    except (OSError, EOFError) as error:
        raise FetchError(FetchOutcome.REFUSED, _("The packed bill is damaged. It is fetched again.")) from error


def _meaning(answer: Answer) -> FetchError:
    """What a verified refusal says; only here may a day be told empty."""
    try:
        refuse_answer(answer.body, "WeChat Pay", "answer")
    except FormatError as error:
        outcome = {"bill.creating": FetchOutcome.CREATING, "bill.no_bill": FetchOutcome.NO_BILL}.get(
            error.code, FetchOutcome.MISCONFIGURED
        )
        return FetchError(outcome, str(error), answer=answer.body)


def _json(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FetchError(FetchOutcome.REFUSED, _("WeChat Pay's answer cannot be read."))
    return found


def _message(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body).get("message", ""))[:200]
    except (ValueError, AttributeError, RecursionError):
        return str(answer.status)
