"""A file source for pages to show."""

from __future__ import annotations

import datetime as dt

from payops.approvals.services import request_approve
from payops.channels.fetch.approval import source_propose
from payops.channels.fetch.models import FileSource
from payops.channels.models import ChannelContract
from payops.identity.models import User


def file_source(first_day: dt.date = dt.date(2026, 11, 18)) -> FileSource:
    """WeChat Pay's watched folder, tried from 09:30 to 12:00."""
    request = source_propose(
        source=FileSource(
            contract=ChannelContract.objects.get(code="WECHAT"),
            name="bill",
            kind="folder",
            address="wechat",
            options={"pattern": r"(?P<date>\d{8})\.csv"},
            first_day=first_day,
            first_try=dt.time(9, 30),
            every_minutes=10,
            deadline=dt.time(12, 0),
        ),
        reason="the channel's letter",
        maker=User.objects.get(username="alice"),
    )
    request_approve(request_id=request.pk, checker=User.objects.get(username="bob"))
    return FileSource.objects.get(approval=request)
