"""Talking to the bank, one payout at a time and never inside a transaction.

The claim (approved → being sent) is committed before the request leaves. After a crash such a payout is first looked
up at the bank and sent, under its own number, only if the bank never received it. So a payout may be asked for twice
and is paid once.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import selectors as balances
from payops.core.locks import key_code, namespace_code
from payops.merchants.selectors import number_is_approved
from payops.settlement.bank import (
    Bank,
    BankAnswer,
    BankConflictError,
    BankError,
    BankRefusedError,
    BankStatus,
    BankUnreachableError,
    PayoutOrder,
    bank_client,
)
from payops.settlement.choices import PayoutState
from payops.settlement.models import Payout
from payops.settlement.payouts.history import (
    IN_DOUBT,
    SYSTEM,
    TO_SEND,
    now,
    payout_lock,
    payout_move,
    payout_note,
)
from payops.settlement.payouts.results import (
    ACCOUNT_ALTERED,
    CONFLICT,
    FOR_A_PERSON,
    PAID_BEFORE,
    numbers_debited_all_the_same,
    payout_result_take,
    payout_unknown,
)

logger = logging.getLogger(__name__)

GIVE_UP_AFTER: Final = 3
"""Connections refused in a row after which the bank is taken to be down and the rest is left for later."""
WATCH_RETURNS_DAYS: Final = 10
"""How long after its pay date a successful payout is still asked about, in case it comes back."""
BUSY: Final = "busy"
LOCK: Final = "settlement.payout"
FIRST_WAIT: Final = dt.timedelta(seconds=10)
LONGEST_WAIT: Final = dt.timedelta(hours=6)


def payouts_send(
    *, day: dt.date | None = None, batch_id: int | None = None, bank: Bank | None = None, username: str = SYSTEM
) -> dict[str, Any]:
    """Send what is approved, of batches paid up to the day after `day` or of one batch; returns counts by state.

    Safe to start again at any time and from two places. `stopped` is true when the bank could not be reached.
    """
    bank = bank or bank_client()
    wanted = _of(day, batch_id).filter(state__in=TO_SEND).order_by("id").values_list("id", flat=True)
    return _each(list(wanted), lambda payout_id: _send(payout_id, bank, username))


def payouts_poll(
    *,
    day: dt.date | None = None,
    batch_id: int | None = None,
    bank: Bank | None = None,
    username: str = SYSTEM,
    rounds: int = 1,
    patient: bool = False,
) -> dict[str, Any]:
    """Ask the bank what became of payouts without a result, and whether recent ones came back; counts by state.

    `rounds`: how often to go over those still without a result. `patient`: leave out those asked a short while ago
    (the pause doubles with every query), for work that repeats by the clock.
    """
    bank = bank or bank_client()
    open_ones = _of(day, batch_id).filter(state__in=(PayoutState.SENDING, *IN_DOUBT))
    open_ones = open_ones.exclude(failure_code__in=FOR_A_PERSON).order_by("id")
    watched = [] if patient else list(_watched(day, batch_id).values_list("id", flat=True))
    states: dict[int, str] = {}
    result = _each(watched, lambda payout_id: _query(payout_id, bank, username), states)
    for _round in range(max(rounds, 1)):
        wanted = [payout.pk for payout in open_ones if not patient or _is_due(payout)]
        if not wanted or result["stopped"]:
            break
        done = _each(wanted, lambda payout_id: _query(payout_id, bank, username), states)
        result["stopped"] = done["stopped"]
        result["asked"] += done["asked"]
    result["states"] = dict(Counter(states.values()))
    result["open"] = open_ones.count()
    return result


def _each(payout_ids: list[int], act: Callable[[int], str], states: dict[int, str] | None = None) -> dict[str, Any]:
    """Work through payouts; stop when the bank is down. `states` receives each one's state."""
    states = {} if states is None else states
    unreachable = asked = 0
    for payout_id in payout_ids:
        if unreachable >= GIVE_UP_AFTER:
            break
        asked += 1
        try:
            states[payout_id] = str(act(payout_id))
            unreachable = 0
        except BankUnreachableError as error:
            unreachable += 1
            logger.warning("payout %s: %s", payout_id, error)
    stopped = unreachable >= GIVE_UP_AFTER or (unreachable > 0 and unreachable == asked)
    return {"asked": asked, "states": dict(Counter(states.values())), "stopped": stopped}


def _of(day: dt.date | None, batch_id: int | None) -> QuerySet[Payout]:
    payouts = Payout.objects.all()
    if batch_id is not None:
        payouts = payouts.filter(batch=batch_id)
    if day is not None:
        payouts = payouts.filter(batch__pay_date__lte=day + dt.timedelta(days=1))
    return payouts


def _watched(day: dt.date | None, batch_id: int | None) -> QuerySet[Payout]:
    since = balances.open_day() - dt.timedelta(days=WATCH_RETURNS_DAYS)
    return _of(day, batch_id).filter(state=PayoutState.SUCCEEDED, batch__pay_date__gte=since).order_by("id")


def _is_due(payout: Payout) -> bool:
    if payout.sent_at is None:
        return True
    wait = min(FIRST_WAIT * (2 ** min(payout.query_count, 12) - 1), LONGEST_WAIT)
    return timezone.now() >= payout.sent_at + wait


# --- one payout -------------------------------------------------------------------------------------------------------


@contextmanager
def _alone_with(payout_id: int) -> Iterator[bool]:
    """Whether nobody else is talking to the bank about this payout just now.

    A lock of the database session: it survives commits, so no transaction is open while the bank is waited for, and it
    ends with the process, so a crash leaves nothing behind.
    """
    keys = [namespace_code(LOCK), key_code(payout_id)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", keys)
        alone = cursor.fetchone()[0]
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", keys)


def _send(payout_id: int, bank: Bank, username: str) -> str:
    """Claim and send one payout; one already claimed is looked up first, one in other hands left to them."""
    with _alone_with(payout_id) as alone:
        return _send_alone(payout_id, bank, username) if alone else BUSY


def _query(payout_id: int, bank: Bank, username: str) -> str:
    """Ask about one payout, unless somebody else does."""
    with _alone_with(payout_id) as alone:
        return _ask(payout_id, bank, username) if alone else BUSY


def _send_alone(payout_id: int, bank: Bank, username: str) -> str:
    with transaction.atomic():
        payout = payout_lock(payout_id)
        fresh = payout.state == PayoutState.APPROVED
        if fresh and _left_to_a_person(payout):
            return payout.state
        if fresh:
            payout_move(payout, PayoutState.SENDING, username=username, sent_at=now())
        elif payout.state != PayoutState.SENDING:
            return payout.state
    return _deliver(payout, bank, username) if fresh else _ask(payout_id, bank, username)


def _left_to_a_person(payout: Payout) -> bool:
    """Whether an approved payout must not leave after all; the reason then stands on it and in its history."""
    code, note = _obstacle(payout)
    if code and payout.failure_code != code:
        Payout.objects.filter(pk=payout.pk).update(failure_code=code, failure_reason=note[:200])
        payout_note(payout, username=SYSTEM, note=note)
    return bool(code)


def _obstacle(payout: Payout) -> tuple[str, str]:
    """Code and sentence; empty texts where nothing stands in the way."""
    account = payout.settlement_account
    if not number_is_approved(account):
        return ACCOUNT_ALTERED, _("Not sent: the number of settlement account %(account)s is not the one approved.") % {
            "account": account.pk
        }
    if payout.previous_id is not None:
        earlier = Payout.objects.filter(sheet=payout.sheet_id).exclude(pk=payout.pk)
        debited = earlier.filter(payout_no__in=numbers_debited_all_the_same()).order_by("id").first()
        if debited is not None:
            return PAID_BEFORE, _(
                "Not sent: the bank's statement shows the debit of %(number)s, which it had called failed."
            ) % {"number": debited.payout_no}
    return "", ""


def _deliver(payout: Payout, bank: Bank, username: str) -> str:
    """One request to the bank. No connection leaves the payout as it is: nothing was sent."""
    try:
        answer = bank.payout_send(_order(payout))
    except BankUnreachableError:
        raise
    except BankRefusedError as error:
        answer = BankAnswer(payout.payout_no, BankStatus.FAILED, error.code, str(error))
    except BankError as error:
        code = CONFLICT if isinstance(error, BankConflictError) else ""
        return payout_unknown(payout_id=payout.pk, code=code, note=str(error), username=username).state
    return payout_result_take(payout_id=payout.pk, answer=answer, username=username).state


def _ask(payout_id: int, bank: Bank, username: str) -> str:
    """The bank's present answer; a bank that never received it gets it (again) under the same number."""
    payout = Payout.objects.select_related("batch__bank_account", "merchant", "settlement_account").get(pk=payout_id)
    try:
        answer = bank.payout_query(payout.payout_no)
    except BankUnreachableError:
        raise
    except BankError as error:
        logger.warning("payout %s: %s", payout.payout_no, error)
        return payout.state
    Payout.objects.filter(pk=payout_id).update(query_count=F("query_count") + 1)
    if answer is not None:
        return payout_result_take(payout_id=payout_id, answer=answer, username=username).state
    if payout.state not in (PayoutState.SENDING, PayoutState.UNKNOWN):
        logger.error("payout %s: the bank does not know what it had taken", payout.payout_no)
        return payout.state
    return _deliver(payout, bank, username)


def _order(payout: Payout) -> PayoutOrder:
    account = payout.settlement_account
    return PayoutOrder(
        payout_no=payout.payout_no,
        account_no=payout.batch.bank_account.account_no,
        payee_account=account.number,
        payee_name=account.holder,
        payee_bank=account.bank_name,
        branch_code=account.branch_code,
        amount=payout.amount,
        currency=payout.currency,
        memo=payout.merchant.merchant_no,
    )
