"""What becomes of a payout: the outcomes a bank can show, and the account numbers that ask for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BRANCH_CODE_LIMIT: Final[int] = 5_000_000
"""Above 50,000.00 a payout needs the branch code of the payee's bank (minor units)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one kind of payout goes.

    `silent` payouts get no answer to the request that sent them; `received` is false where that request is lost as
    well. `queries` answer unknown before the result is told. `moves_money` says whether the account is debited,
    `returns` whether the money comes back later.
    """

    name: str
    silent: bool = False
    received: bool = True
    at_once: bool = False
    unknown_at_once: bool = False
    queries: int = 0
    code: str = "OK"
    account_fault: bool = False
    returns: bool = False

    @property
    def moves_money(self) -> bool:
        return self.code == "OK"

    @property
    def final_status(self) -> str:
        return "succeeded" if self.moves_money else "failed"


SUCCEED: Final = Outcome("succeed")
NO_BRANCH_CODE: Final = Outcome("no_branch_code", at_once=True, code="BRANCH_CODE_MISSING", account_fault=True)
OUTCOMES: Final[dict[str, Outcome]] = {
    outcome.name: outcome
    for outcome in (
        SUCCEED,
        Outcome("fail_account", at_once=True, code="ACCOUNT_NOT_FOUND", account_fault=True),
        Outcome("timeout_succeed", silent=True, queries=1),
        Outcome("unknown_fail", unknown_at_once=True, queries=1, code="NAME_MISMATCH", account_fault=True),
        Outcome("return", returns=True),
        Outcome("fail_bank", at_once=True, code="BANK_UNAVAILABLE"),
        Outcome("lost", silent=True, received=False),
        NO_BRANCH_CODE,
    )
}
SCRIPTABLE: Final = tuple(name for name in OUTCOMES if name != NO_BRANCH_CODE.name)
BY_ACCOUNT_ENDING: Final[dict[str, str]] = {
    "9001": "fail_account",
    "9002": "timeout_succeed",
    "9003": "unknown_fail",
    "9004": "return",
    "9005": "fail_bank",
    "9006": "lost",
}
MESSAGES: Final[dict[str, str]] = {
    "ACCEPTED": "Accepted for processing.",
    "OK": "Paid.",
    "PENDING": "No answer from the payee's bank yet; query again.",
    "ACCOUNT_NOT_FOUND": "The payee's account does not exist.",
    "NAME_MISMATCH": "Account and holder do not belong together.",
    "BRANCH_CODE_MISSING": "An amount above 50,000.00 needs the branch code.",
    "BANK_UNAVAILABLE": "The payee's bank is closed; it may be sent again under a new number.",
    "RETURNED_ACCOUNT_CLOSED": "Returned by the payee's bank: account closed.",
}
