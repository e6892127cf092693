"""The day-end check of the ledger's own documents: no voucher by own lines without the document that was approved."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils.translation import gettext as _

from payops.accounts.checks import Finding
from payops.accounts.choices import LINE_EVENTS, DocumentState, Event
from payops.accounts.models import CorrectionVoucher, ManualVoucher, PostingKey
from payops.core.ids import id_range

CHECK: Final = "documents_behind_vouchers"


def check_documents(day: dt.date) -> list[Finding]:
    """Vouchers of the day that no booked manual voucher or correction has made (DOMAIN 4.6, voucher ↔ source).

    Read from the posting keys, whose key begins with the event: however many payments a day has, only these are met.
    """
    lo, hi = id_range(day, day)
    keys = PostingKey.objects.filter(event__in=LINE_EVENTS, voucher_id__gte=lo, voucher_id__lt=hi)
    booked = {(event, voucher_id) for event, voucher_id in keys.values_list("event", "voucher_id")}
    ids = [voucher_id for _event, voucher_id in booked]
    manual = ManualVoucher.objects.filter(state=DocumentState.BOOKED, voucher_id__in=ids)
    corrections = CorrectionVoucher.objects.filter(correction__state=DocumentState.BOOKED, voucher_id__in=ids)
    known = {(int(Event.MANUAL), voucher_id) for voucher_id in manual.values_list("voucher_id", flat=True)}
    of_corrections = set(corrections.values_list("voucher_id", flat=True))
    known |= {(event, number) for event, number in booked if number in of_corrections and event != Event.MANUAL}
    return [
        Finding(
            check=CHECK,
            message=_("Voucher %(voucher)s (%(event)s) was booked without an approved document.")
            % {"voucher": voucher_id, "event": Event(event).label},
            context={"voucher_id": str(voucher_id), "event": event},
        )
        for event, voucher_id in sorted(booked - known, key=lambda each: each[1])
    ]
