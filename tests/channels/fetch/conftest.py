"""Sources, bills and keys the tests of fetching share."""

from __future__ import annotations

import datetime as dt
import io
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from payops.approvals.services import request_approve
from payops.channels.fetch.approval import source_propose
from payops.channels.fetch.models import FileSource
from payops.channels.formats.writers import BillRow, write_wechat_all
from payops.channels.models import ChannelContract
from tests.channels.bills.conftest import contract

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = dt.date(2026, 11, 18)
MERCHANT = "1699999901"


def at(clock: str, day: dt.date = DAY + dt.timedelta(days=1)) -> dt.datetime:
    """A moment of the day after the channel day, in Shanghai."""
    return dt.datetime.combine(day, dt.time.fromisoformat(clock), SHANGHAI)


def bill(day: dt.date = DAY, *, rows: int = 2, account: str = MERCHANT) -> bytes:
    """A WeChat bill of some payments of 1.00."""
    out = io.BytesIO()
    write_wechat_all(
        out,
        account,
        [
            BillRow(
                "payment",
                f"O{n}",
                f"42000{day:%Y%m%d}{n:04d}",
                100,
                1,
                dt.datetime.combine(day, dt.time(12, n), SHANGHAI),
            )
            for n in range(rows)
        ],
    )
    return out.getvalue()


@cache
def key_pair(name: str) -> tuple[str, str]:
    """Private and public key in PEM; one pair per name and run."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Any) -> Path:
    """Everything that is kept or looked at lies below the test's own folder."""
    settings.PAYOPS_FILES_DIR = tmp_path / "files"
    settings.PAYOPS_INBOX_DIR = tmp_path / "inbox"
    settings.PAYOPS_SECRETS_DIR = tmp_path / "secrets"
    settings.PAYOPS_FETCH_TIMEOUT_SECONDS = 5
    (tmp_path / "inbox" / "wechat").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def inbox(folders: Path) -> Path:
    """The watched folder of WeChat Pay."""
    return folders / "inbox" / "wechat"


@pytest.fixture
def wechat(db: None) -> ChannelContract:
    """WeChat Pay."""
    return contract("WECHAT", "wechat_trade", MERCHANT)


def unsaved(of: ChannelContract, **changes: Any) -> FileSource:
    """A watched folder, tried from 09:30 every 15 minutes until 12:00."""
    fields: dict[str, Any] = {
        "name": "bill",
        "kind": "folder",
        "address": "wechat",
        "options": {"pattern": r"wx_(?P<date>\d{8})\.csv", "settle_seconds": 0},
        "first_day": DAY,
        "first_try": dt.time(9, 30),
        "every_minutes": 15,
        "deadline": dt.time(12, 0),
        **changes,
    }
    return FileSource(contract=of, **fields)


def approved(alice: Any, bob: Any, source: FileSource) -> FileSource:
    """The source after Alice proposed it and Bob agreed."""
    request = source_propose(source=source, reason="the channel's letter", maker=alice)
    done = request_approve(request_id=request.pk, checker=bob)
    return FileSource.objects.get(pk=done.result["source"])


@pytest.fixture
def folder(wechat: ChannelContract, alice: Any, bob: Any) -> FileSource:
    """The watched folder in force."""
    return approved(alice, bob, unsaved(wechat))
