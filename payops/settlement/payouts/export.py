"""A batch as a file, for a bank that takes files instead of requests."""

from __future__ import annotations

from typing import IO, Any, Final

from django.utils.translation import gettext as _

from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.exports import write_csv
from payops.core.money import major
from payops.identity.models import User
from payops.merchants.selectors import number_is_approved
from payops.settlement.bank import bank_takes_files
from payops.settlement.choices import BatchState
from payops.settlement.models import PayoutBatch
from payops.settlement.payouts.history import IN_DOUBT

HEADER: Final = (
    "payout_no",
    "account_no",
    "payee_account",
    "payee_name",
    "payee_bank",
    "branch_code",
    "amount",
    "currency",
    "memo",
)


def payout_batch_export(*, batch_id: int, user: User, fileobj: IO[Any]) -> int:
    """Write what was sent of a batch, for a bank that takes files, as CSV with full account numbers; how many payouts.

    Never what went through an interface, is paid already or waits for a person: two ways to one bank pay twice. The
    cells cannot run as formulas in a spreadsheet. Who took the file stands in the audit log. Raises PayopsError
    'payouts.not_allowed' without payouts.send, 'payouts.no_files', 'payouts.not_approved' before the approval.
    """
    if not user.may("payouts.send"):
        raise PayopsError(
            "payouts.not_allowed",
            _("%(user)s may not take payout files (payouts.send is missing).") % {"user": user.username},
            {"username": user.username},
        )
    if not bank_takes_files():
        raise PayopsError(
            "payouts.no_files",
            _("The payouts go to this bank through its interface. A file beside it would pay them twice."),
            {"batch": batch_id},
        )
    batch = PayoutBatch.objects.select_related("bank_account").get(pk=batch_id)
    if batch.state not in (BatchState.APPROVED, BatchState.SENT, BatchState.DONE):
        raise PayopsError(
            "payouts.not_approved",
            _("Batch %(batch)s is %(state)s; only an approved batch goes to a bank.")
            % {"batch": batch.batch_no, "state": batch.get_state_display().lower()},
            {"batch": batch.pk, "state": batch.state},
        )
    payouts = batch.payouts.filter(state__in=IN_DOUBT).select_related("merchant", "settlement_account")
    for payout in payouts:
        if not number_is_approved(payout.settlement_account):
            raise PayopsError(
                "payouts.account_altered",
                _("Payout %(number)s: the account number stored is not the one approved. No file was written.")
                % {"number": payout.payout_no},
                {"payout_no": payout.payout_no},
            )
    count = write_csv(
        fileobj,
        HEADER,
        (
            (
                payout.payout_no,
                batch.bank_account.account_no,
                payout.settlement_account.number,
                payout.settlement_account.holder,
                payout.settlement_account.bank_name,
                payout.settlement_account.branch_code,
                major(payout.amount, payout.currency),
                payout.currency,
                payout.merchant.merchant_no,
            )
            for payout in payouts.order_by("id")
        ),
    )
    audit.record(
        username=user.username,
        action="settlement.payout_file_taken",
        object_kind="settlement.payoutbatch",
        object_id=batch.pk,
        detail={"batch_no": batch.batch_no, "payouts": count},
    )
    return count
