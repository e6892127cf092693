"""A channel day's receipt: the row every bill and every bank line of that day meets in."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from payops.channels.models import ChannelContract
from payops.core.business_days import add_working_days
from payops.reconciliation.models import ChannelReceipt


def receipt_of(contract: ChannelContract, channel_date: dt.date) -> ChannelReceipt:
    """The row of the contract's day, made when bill or money is the first to name it."""
    receipt, _created = ChannelReceipt.objects.get_or_create(
        contract=contract,
        channel_date=channel_date,
        defaults={"due_date": add_working_days(channel_date, contract.settle_days)},
    )
    return receipt


@transaction.atomic
def receipt_due_set(*, contract: ChannelContract, channel_date: dt.date, due: int) -> ChannelReceipt:
    """What the bill of a day says the channel owes us (minor units, Σ settled amount); called by every run.

    The money is due on the n-th working day after the channel date. Books nothing; `funds_check` compares.
    """
    receipt = receipt_of(contract, channel_date)
    ChannelReceipt.objects.filter(pk=receipt.pk).update(
        due=due, due_date=add_working_days(channel_date, contract.settle_days)
    )
    receipt.refresh_from_db()
    return receipt
