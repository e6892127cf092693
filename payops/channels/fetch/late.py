"""Day-end check: bills that should have come by now and have not."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils.translation import gettext as _

from payops.accounts.checks import Finding
from payops.accounts.choices import FindingLevel
from payops.channels.schedules import LOOK_BACK, late_days

CHECK: Final = "channels.bills_late"


def check_bills_late(day: dt.date) -> list[Finding]:
    """Channel days before the day being closed whose deadline has passed without a file; each is a finding."""
    return [
        Finding(
            CHECK,
            _("The file “%(source)s” of %(channel)s for %(day)s was not here by its deadline.")
            % {"source": late.source.name, "channel": late.source.contract.code, "day": late.day.isoformat()},
            level=FindingLevel.WARNING.value,
            context={
                "channel": late.source.contract.code,
                "day": late.day.isoformat(),
                "tries": late.tries,
                "last": late.last.outcome if late.last else "",
            },
        )
        for late in late_days()
        if day - LOOK_BACK <= late.day < day
    ]
