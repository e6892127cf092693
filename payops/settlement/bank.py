"""How payouts reach a bank: the few things payops asks of any bank, and the client of the simulated one.

A real bank is another class with the methods of `Bank`, named in the setting PAYOPS_BANK_CLIENT. Callers never hold a
database transaction open while they wait for it.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


class BankStatus(StrEnum):
    """What a bank says of a payout; only succeeded, failed and returned are final."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """What is asked of the bank. `amount` in minor units; `payout_no` is ours and never paid twice."""

    payout_no: str
    account_no: str
    payee_account: str
    payee_name: str
    payee_bank: str
    branch_code: str
    amount: int
    currency: str
    memo: str


@dataclass(frozen=True, slots=True)
class BankAnswer:
    """What the bank says of one payout now. `account_fault`: a failure by the payee's account, not to be repeated."""

    payout_no: str
    status: BankStatus
    code: str = ""
    message: str = ""
    account_fault: bool = False
    bank_reference: str = ""
    amount: int | None = None
    currency: str = ""


class BankError(Exception):
    """The bank gave no usable answer; `code` goes into the payout's record."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BankUnreachableError(BankError):
    """No connection was made: nothing was sent."""


class BankSilenceError(BankError):
    """The request may have arrived; nobody knows what became of it."""


class BankRefusedError(BankError):
    """The bank rejected the request as malformed: it took nothing."""


class BankConflictError(BankError):
    """The bank knows this number with other data: neither paid nor failed by us, a person has to look."""


class Bank(Protocol):
    """What payops asks of a bank. Both calls may raise any BankError but take at most the configured time."""

    def payout_send(self, order: PayoutOrder) -> BankAnswer:
        """Ask for a payment; the same number with the same data any number of times is one payment."""
        ...

    def payout_query(self, payout_no: str) -> BankAnswer | None:
        """What became of a payout; None when the bank never received it."""
        ...

    def statement(self, account_no: str, first: dt.date, last: dt.date) -> bytes:
        """The account's statement as a receipts file (FORMATS 8)."""
        ...


def bank_client() -> Bank:
    """The bank payouts are sent to."""
    client: Bank = import_string(settings.PAYOPS_BANK_CLIENT)()
    return client


def bank_takes_files() -> bool:
    """Whether payouts leave for the bank in files that a person carries there, instead of through an interface."""
    return getattr(import_string(settings.PAYOPS_BANK_CLIENT), "takes_files", False) is True


class FileBank:
    """A bank that takes files: what is sent to it leaves with the payment file of its batch.

    It gives no answers; what became of a payout, the bank's statement says.
    """

    takes_files: Final = True

    def payout_send(self, order: PayoutOrder) -> BankAnswer:
        """Given to the bank with the file; nothing else leaves."""
        return BankAnswer(order.payout_no, BankStatus.ACCEPTED)

    def payout_query(self, payout_no: str) -> BankAnswer | None:
        """Nobody can be asked."""
        return BankAnswer(payout_no, BankStatus.ACCEPTED)

    def statement(self, account_no: str, first: dt.date, last: dt.date) -> bytes:
        """It is loaded from a file as well."""
        raise BankSilenceError("no_statement", _("This bank gives its statements as files; load them."))


class HttpBank:
    """The interface of docs/bank-simulator.md over HTTP; one connection per request, no proxy, no redirect."""

    def __init__(self, url: str | None = None, timeout_seconds: float | None = None) -> None:
        address = urlsplit(url or settings.BANK_SIMULATOR_URL)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise PayopsError(
                "bank.bad_url",
                _("“%(url)s” is not the address of a bank; set BANK_SIMULATOR_URL to http://host:port.")
                % {"url": address.geturl()},
            )
        self._scheme, self._host, self._port = address.scheme, address.hostname, address.port
        self._path = address.path.rstrip("/")
        self._timeout = timeout_seconds or settings.PAYOPS_BANK_TIMEOUT_SECONDS

    def payout_send(self, order: PayoutOrder) -> BankAnswer:
        """POST /payouts."""
        body = {name: getattr(order, name) for name in PayoutOrder.__slots__}
        status, content = self._ask("POST", "/payouts", body)
        return _answer(order.payout_no, status, content)

    def payout_query(self, payout_no: str) -> BankAnswer | None:
        """GET /payouts/<number>; only the bank's own `payout_not_found` means that it never came."""
        status, content = self._ask("GET", f"/payouts/{quote(payout_no, safe='')}")
        if status == 404 and _json(content).get("error") == "payout_not_found":
            return None
        return _answer(payout_no, status, content)

    def statement(self, account_no: str, first: dt.date, last: dt.date) -> bytes:
        """GET /accounts/<number>/statement."""
        path = f"/accounts/{quote(account_no, safe='')}/statement?from={first.isoformat()}&to={last.isoformat()}"
        status, content = self._ask("GET", path)
        if status != 200:
            raise BankSilenceError(
                f"http_{status}", _("The bank answers %(status)d instead of a statement.") % {"status": status}
            )
        return content

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        make = http.client.HTTPSConnection if self._scheme == "https" else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=self._timeout)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise BankUnreachableError(
                    "unreachable", _("The bank cannot be reached: %(reason)s.") % {"reason": error}
                ) from error
            try:
                content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
                connection.request(method, self._path + path, content, {"Content-Type": "application/json"})
                response = connection.getresponse()
                return response.status, response.read(MAX_ANSWER_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise BankSilenceError(
                    "no_answer", _("The bank did not answer: %(reason)s.") % {"reason": repr(error)}
                ) from error
        finally:
            connection.close()


def _json(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _answer(payout_no: str, http_status: int, content: bytes) -> BankAnswer:
    """The answer in our words; whatever cannot be understood is no answer, never a success or a failure."""
    body = _json(content)
    code, message = str(body.get("error", ""))[:40], str(body.get("message", ""))[:200]
    if http_status == 409 and code == "payout_conflict":
        raise BankConflictError(code, message)
    if http_status == 400 and code == "bad_request":
        raise BankRefusedError(code, message)
    if http_status != 200 or body.get("payout_no") != payout_no or body.get("status") not in list(BankStatus):
        raise BankSilenceError(
            "unclear", _("The bank's answer (%(status)d) cannot be understood.") % {"status": http_status}
        )
    amount = body.get("amount")
    return BankAnswer(
        payout_no=payout_no,
        status=BankStatus(body["status"]),
        code=str(body.get("code", ""))[:40],
        message=message,
        account_fault=body.get("account_fault") is True,
        bank_reference=str(body.get("bank_reference") or "")[:64],
        amount=amount if type(amount) is int else None,
        currency=str(body.get("currency", ""))[:3],
    )
