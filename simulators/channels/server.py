"""The HTTP side: WeChat Pay's `/v3/bill/…` and Alipay's gateway, both over a folder of bills.

A day's bill is `wechat/<day>.csv`, `fundflow/<day>.csv` or `alipay/<day>.zip`; `<day>.creating` beside it says that it
is being made. `faults` makes the next answers wrong on purpose, by name.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import re
import secrets
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from simulators.channels.keys import Keys

MCHID = "1699999901"
SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PLATFORM_SERIAL = "PUB_KEY_ID_0116999999012026111800"
APP_ID = "2021000000000001"
METHOD = "alipay.data.dataservice.bill.downloadurl.query"
NODE = METHOD.replace(".", "_") + "_response"
CLOCKS_APART_SECONDS = 300


class ChannelServer(ThreadingHTTPServer):
    """Both channels; `link_seconds` is how long a download link lives."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], data: Path, link_seconds: float = 30) -> None:
        super().__init__(address, ChannelHandler)
        self.data = data
        self.keys = Keys(data / "keys")
        self.link_seconds = link_seconds
        self.links: dict[str, tuple[Path, float]] = {}
        self.faults: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.nonces: set[str] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, name: str) -> bool:
        """Whether this answer is to be wrong in that way; each counts once."""
        if self.faults[name] <= 0:
            return False
        self.faults[name] -= 1
        return True

    def link_to(self, path: Path) -> str:
        """A fresh token for a bill."""
        token = secrets.token_urlsafe(24)
        age = 10**6 if self.fault("dead_link") else 0
        self.links[token] = (path, time.monotonic() + self.link_seconds - age)
        return token


class ChannelHandler(BaseHTTPRequestHandler):
    """Routes of docs/fetching.md."""

    protocol_version = "HTTP/1.1"
    server: ChannelServer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.server.asked[url.path] += 1
        if self.server.fault("busy"):
            self._send(503, b"busy", "text/plain")
        elif url.path in ("/v3/bill/tradebill", "/v3/bill/fundflowbill"):
            self._wechat_bill("wechat" if url.path.endswith("tradebill") else "fundflow", query)
        elif url.path == "/v3/billdownload/file":
            self._wechat_download(query)
        elif url.path == "/downloadBillFile.resource":
            self._download(query.get("fileId", ""))
        else:
            self._send(404, b"not here", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if urlsplit(self.path).path != "/gateway.do":
            self._send(404, b"not here", "text/plain")
            return
        self.server.asked["/gateway.do"] += 1
        parameters = {name: values[-1] for name, values in parse_qs(body.decode()).items()}
        self._alipay(parameters)

    # -- WeChat Pay --------------------------------------------------------------------------------------------------

    def _wechat_bill(self, kind: str, query: dict[str, str]) -> None:
        if not self._knows_merchant():
            self._wechat(401, {"code": "SIGN_ERROR", "message": "签名错误"}, signed=False)
            return
        day = _day(query.get("bill_date", ""))
        path = self.server.data / kind / f"{day}.csv"
        if day is None or query.get("bill_type", "ALL") not in ("ALL", "SUCCESS", "REFUND"):
            self._wechat(400, {"code": "INVALID_REQUEST", "message": "参数错误"})
        elif path.with_suffix(".creating").exists():
            self._wechat(400, {"code": "STATEMENT_CREATING", "message": "账单生成中"})
        elif not path.exists():
            self._wechat(400, {"code": "NO_STATEMENT_EXIST", "message": "账单文件不存在"})
        else:
            link = f"{self.server.url}/v3/billdownload/file?token={self.server.link_to(path)}"
            if query.get("tar_type") == "GZIP":
                link += "&tartype=gzip"
            if self.server.fault("foreign_link"):
                link = "http://127.0.0.1:1/elsewhere"
            # The channel's interface names this hash; nothing of ours rests on its strength.
            digest = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
            value = "0" * 40 if self.server.fault("hash") else digest
            self._wechat(200, {"download_url": link, "hash_type": "SHA1", "hash_value": value})

    def _wechat_download(self, query: dict[str, str]) -> None:
        if not self._knows_merchant():
            self._wechat(401, {"code": "SIGN_ERROR", "message": "签名错误"}, signed=False)
            return
        self._download(query.get("token", ""), packed=query.get("tartype") == "gzip")

    def _knows_merchant(self) -> bool:
        """Whether the request is signed by the merchant, of now, and not one that was seen before."""
        scheme, _blank, rest = self.headers.get("Authorization", "").partition(" ")
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        stamp, nonce = given.get("timestamp", ""), given.get("nonce_str", "")
        message = f"{self.command}\n{self.path}\n{stamp}\n{nonce}\n\n".encode()
        fresh = stamp.isdigit() and abs(int(stamp) - time.time()) <= CLOCKS_APART_SECONDS
        new = nonce not in self.server.nonces
        self.server.nonces.add(nonce)
        return (
            scheme == "WECHATPAY2-SHA256-RSA2048"
            and (given.get("mchid"), given.get("serial_no")) == (MCHID, SERIAL)
            and fresh
            and new
            and self.server.keys.verified("wechat_merchant", message, given.get("signature", ""))
        )

    def _wechat(self, status: int, answer: dict[str, Any], *, signed: bool = True) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode()
        headers = {}
        if signed:
            age = 3600 if self.server.fault("old_answer") else 0
            stamp, nonce = str(int(time.time()) - age), secrets.token_hex(16)
            message = f"{stamp}\n{nonce}\n".encode() + body + b"\n"
            signature = self.server.keys.sign("wechat_platform", message)
            headers = {
                "Wechatpay-Timestamp": stamp,
                "Wechatpay-Nonce": nonce,
                "Wechatpay-Serial": "OTHER" if self.server.fault("serial") else PLATFORM_SERIAL,
                "Wechatpay-Signature": "AAAA" if self.server.fault("signature") else signature,
            }
        self._send(status, body, "application/json", headers)

    # -- Alipay ------------------------------------------------------------------------------------------------------

    def _alipay(self, parameters: dict[str, str]) -> None:
        signature = parameters.pop("sign", "")
        text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
        known = self.server.keys.verified("alipay_application", text.encode(), signature)
        if not known or parameters.get("app_id") != APP_ID or parameters.get("method") != METHOD:
            answer = {"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"}
            self._alipay_answer({**answer, "sub_msg": "无效签名"})
            return
        content = json.loads(parameters["biz_content"])
        day = _day(content.get("bill_date", ""))
        kind = "alipay" if content.get("bill_type") == "trade" else "alipay_account"
        path = self.server.data / kind / f"{day}.zip"
        if self.server.fault("alipay_busy"):
            self._alipay_answer(
                {"code": "20000", "msg": "Service Currently Unavailable", "sub_code": "isp.unknow-error"}
            )
        elif day is None or not path.exists():
            self._alipay_answer(
                {"code": "40004", "msg": "Business Failed", "sub_code": "isp.bill_not_exist", "sub_msg": "账单不存在"}
            )
        else:
            name = f"20889900112233440156_{day:%Y%m%d}.csv.zip"
            token = self.server.link_to(path)
            link = f"{self.server.url}/downloadBillFile.resource?downloadFileName={name}&fileId={token}"
            self._alipay_answer({"code": "10000", "msg": "Success", "bill_download_url": link})

    def _alipay_answer(self, node: dict[str, str]) -> None:
        # Slashes escaped and blanks within, as Alipay writes: what is signed is the text, not the value.
        text = json.dumps(node, ensure_ascii=False).replace("/", "\\/")
        signature = self.server.keys.sign("alipay_platform", text.encode())
        if self.server.fault("signature"):
            signature = "AAAA"
        self._send(200, f'{{"{NODE}":{text},"sign":"{signature}"}}'.encode(), "application/json;charset=utf-8")

    # -- bytes -------------------------------------------------------------------------------------------------------

    def _download(self, token: str, *, packed: bool = False) -> None:
        path, until = self.server.links.pop(token, (None, 0.0))
        if path is None or time.monotonic() > until:
            self._send(403, b"<html>expired</html>", "text/html")
            return
        content = path.read_bytes()
        body = gzip.compress(content) if packed else content
        if self.server.fault("cut"):
            body = body[: len(body) // 2]
        self._send(200, body, "application/octet-stream")

    def _send(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
