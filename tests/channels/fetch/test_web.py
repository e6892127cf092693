"""WeChat Pay v3 and Alipay against the simulator: what is signed is believed, everything else is not."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payops.channels.bills.services import bill_parse
from payops.channels.fetch.checks import source_check
from payops.channels.fetch.errors import FetchError
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.fetch.web import checked_link
from payops.channels.formats.writers import BillRow, write_alipay_zip
from payops.channels.models import BillFile, ChannelContract
from simulators.channels.server import APP_ID, MCHID, PLATFORM_SERIAL, SERIAL, ChannelServer
from tests.channels.bills.conftest import contract
from tests.channels.fetch.conftest import DAY, SHANGHAI, approved, at, bill, key_pair, unsaved

NOW = at("10:00")
ALIPAY_ACCOUNT = "20889900112233440156"


@pytest.fixture
def channel(tmp_path: Path, keys: Path) -> Iterator[ChannelServer]:
    """The simulator with a WeChat bill of the day."""
    shutil.copytree(keys, tmp_path / "channel" / "keys")
    server = ChannelServer(("127.0.0.1", 0), tmp_path / "channel")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    place(server, "wechat", bill(), "csv")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulator's keys, made once."""
    from simulators.channels.keys import Keys

    return Keys(tmp_path_factory.mktemp("channel") / "keys").folder


def place(channel: ChannelServer, kind: str, content: bytes, suffix: str) -> None:
    folder = channel.data / kind
    folder.mkdir(exist_ok=True)
    (folder / f"{DAY}.{suffix}").write_bytes(content)


@pytest.fixture
def wechat_pay(channel: ChannelServer, wechat: ChannelContract, alice: Any, bob: Any) -> FileSource:
    """WeChat Pay's trade bill."""
    return approved(alice, bob, wechat_source(channel, wechat))


def wechat_source(channel: ChannelServer, of: ChannelContract, **changes: Any) -> FileSource:
    options = {
        "mchid": MCHID, "serial_no": SERIAL, "platform_serial": PLATFORM_SERIAL, "bill": "trade",
        "platform_key": channel.keys.public_text("wechat_platform"), **changes.pop("options", {}),
    }  # fmt: skip
    secret = changes.pop("secret", channel.keys.private_text("wechat_merchant"))
    return unsaved(of, kind="wechat", address=channel.url, options=options, secret=secret, **changes)


@pytest.fixture
def alipay(channel: ChannelServer, db: None, alice: Any, bob: Any) -> FileSource:
    """Alipay's business detail, with a bill of the day."""
    of = contract("ALIPAY", "alipay_trade", ALIPAY_ACCOUNT)
    options = {"app_id": APP_ID, "bill": "trade", "alipay_key": channel.keys.public_text("alipay_platform")}
    return approved(
        alice,
        bob,
        unsaved(
            of, kind="alipay", address=f"{channel.url}/gateway.do", options=options,
            secret=channel.keys.private_text("alipay_application"),
        ),
    )  # fmt: skip


def fetched(source: FileSource) -> FetchAttempt:
    (attempt,) = fetch_run(source=source, day=DAY, now=NOW)
    return attempt


# --- WeChat Pay -----------------------------------------------------------------------------------------------------


def test_a_wechat_bill_comes_unpacked_and_is_accepted(wechat_pay: FileSource) -> None:
    attempt = fetched(wechat_pay)
    file = attempt.bill_file
    assert (attempt.outcome, file.original_name) == ("taken", f"{MCHID}All2026-11-18.csv")
    assert file.sha256 == hashlib.sha256(bill()).hexdigest()
    assert bill_parse(file.pk).state == "accepted"


def test_a_wechat_bill_fetched_again_is_known(wechat_pay: FileSource) -> None:
    assert [fetched(wechat_pay).outcome, fetched(wechat_pay).outcome] == ["taken", "known"]


def test_a_fund_flow_bill_is_asked_for_by_its_own_address(
    channel: ChannelServer, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    source = wechat_source(channel, wechat, name="log", bill_type="account_log", options={"bill": "fundflow"})
    assert fetched(approved(alice, bob, source)).outcome == "no_bill"
    assert channel.asked["/v3/bill/fundflowbill"] == 1


def test_wechat_without_a_bill_says_so(channel: ChannelServer, wechat_pay: FileSource) -> None:
    (channel.data / "wechat" / f"{DAY}.csv").unlink()
    assert fetched(wechat_pay).outcome == "no_bill"


def test_wechat_still_making_the_bill_says_so(channel: ChannelServer, wechat_pay: FileSource) -> None:
    place(channel, "wechat", b"", "creating")
    assert fetched(wechat_pay).outcome == "creating"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("signature", "refused"),
        ("old_answer", "refused"),
        ("serial", "misconfigured"),
        ("hash", "refused"),
        ("cut", "refused"),
        ("foreign_link", "refused"),
        ("busy", "unreachable"),
    ],
)
def test_a_wechat_answer_that_is_wrong_brings_no_file(
    channel: ChannelServer, wechat_pay: FileSource, fault: str, outcome: str
) -> None:
    channel.faults[fault] = 1
    assert (fetched(wechat_pay).outcome, BillFile.objects.count()) == (outcome, 0)
    assert fetched(wechat_pay).outcome == "taken"


def test_an_unsigned_no_bill_is_never_believed(channel: ChannelServer, wechat_pay: FileSource) -> None:
    (channel.data / "wechat" / f"{DAY}.csv").unlink()
    channel.faults["signature"] = 1
    assert fetched(wechat_pay).outcome == "refused"


def test_a_link_that_died_is_asked_for_once_more(channel: ChannelServer, wechat_pay: FileSource) -> None:
    channel.faults["dead_link"] = 1
    assert fetched(wechat_pay).outcome == "taken"
    assert channel.asked["/v3/bill/tradebill"] == 2


def test_a_link_that_dies_every_time_is_tried_again_later(channel: ChannelServer, wechat_pay: FileSource) -> None:
    channel.faults["dead_link"] = 2
    assert fetched(wechat_pay).outcome == "unreachable"


def test_a_wrong_merchant_key_is_a_matter_of_the_set_up(
    channel: ChannelServer, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    source = approved(alice, bob, wechat_source(channel, wechat, secret=key_pair("stranger")[0]))
    assert fetched(source).outcome == "misconfigured"


def test_keys_and_signatures_reach_no_log_and_no_attempt(
    channel: ChannelServer, wechat_pay: FileSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    channel.faults["signature"] = 1
    said = "".join(fetched(wechat_pay).message for _time in range(2)) + caplog.text
    secret = channel.keys.private_text("wechat_merchant")
    assert not any(line in said for line in secret.splitlines() if "-----" not in line)
    assert "WECHATPAY2" not in said


def test_a_channel_that_does_not_answer_is_unreachable(channel: ChannelServer, wechat_pay: FileSource) -> None:
    channel.shutdown()
    channel.server_close()
    assert fetched(wechat_pay).outcome == "unreachable"


# --- Alipay ---------------------------------------------------------------------------------------------------------


def a_zip() -> bytes:
    """An Alipay delivery with one payment of 1.00; the same bytes every time."""
    out = io.BytesIO()
    rows = [BillRow("payment", "O1", "2026111822001400001", 100, 1, dt.datetime.combine(DAY, dt.time(12, 0), SHANGHAI))]
    write_alipay_zip(out, ALIPAY_ACCOUNT, DAY, rows)
    return out.getvalue()


def test_an_alipay_bill_is_kept_as_the_zip_it_comes_in(channel: ChannelServer, alipay: FileSource) -> None:
    place(channel, "alipay", a_zip(), "zip")
    attempt = fetched(alipay)
    assert (attempt.outcome, attempt.file_name) == ("taken", "20889900112233440156_20261118.csv.zip")
    assert attempt.bill_file.sha256 == hashlib.sha256(a_zip()).hexdigest()
    assert bill_parse(attempt.bill_file_id).state == "accepted"


def test_alipay_without_a_bill_says_so(alipay: FileSource) -> None:
    assert fetched(alipay).outcome == "no_bill"


@pytest.mark.parametrize(("fault", "outcome"), [("signature", "refused"), ("alipay_busy", "unreachable")])
def test_an_alipay_answer_that_is_wrong_brings_no_file(
    channel: ChannelServer, alipay: FileSource, fault: str, outcome: str
) -> None:
    place(channel, "alipay", a_zip(), "zip")
    channel.faults[fault] = 1
    assert (fetched(alipay).outcome, BillFile.objects.count()) == (outcome, 0)


def test_an_unsigned_no_bill_of_alipay_is_never_believed(channel: ChannelServer, alipay: FileSource) -> None:
    channel.faults["signature"] = 1
    assert fetched(alipay).outcome == "refused"


def test_an_alipay_link_that_died_is_asked_for_once_more(channel: ChannelServer, alipay: FileSource) -> None:
    place(channel, "alipay", a_zip(), "zip")
    channel.faults["dead_link"] = 1
    assert (fetched(alipay).outcome, channel.asked["/gateway.do"]) == ("taken", 2)


def test_a_zip_that_was_cut_brings_no_file(channel: ChannelServer, alipay: FileSource) -> None:
    place(channel, "alipay", a_zip(), "zip")
    channel.faults["cut"] = 2
    assert (fetched(alipay).outcome, BillFile.objects.count()) == ("unreachable", 0)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>The bill is being created.</body></html>",
        b'{"code": "NO_STATEMENT_EXIST", "message": "no bill"}',
        b"",
    ],
)
def test_a_download_that_answers_well_with_an_error_for_a_body_brings_no_file(
    channel: ChannelServer, alipay: FileSource, body: bytes
) -> None:
    """Only the signed answer may say that there is no bill; what stands in place of one is no answer."""
    place(channel, "alipay", body, "zip")
    attempt = fetched(alipay)
    assert attempt.outcome not in ("taken", "no_bill", "empty", "creating")
    assert not BillFile.objects.exists()


def test_a_wrong_application_key_is_a_matter_of_the_set_up(
    channel: ChannelServer, alipay: FileSource, alice: Any, bob: Any
) -> None:
    other = unsaved(
        alipay.contract, kind="alipay", address=alipay.address, options=alipay.options, secret=key_pair("stranger")[0]
    )
    assert fetched(approved(alice, bob, other)).outcome == "misconfigured"


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "http://169.254.169.254/latest",
        "https://alipay.com.evil.example/x",
        "file:///etc/passwd",
        "",
        "//x.alipay.com/a",
    ],
)
def test_a_download_link_leads_to_the_channel_or_nowhere(link: str) -> None:
    with pytest.raises(FetchError):
        checked_link(link, "https://openapi.alipay.com/gateway.do", ".alipay.com")


def test_a_plain_link_of_the_channel_is_fetched_encrypted() -> None:
    link = checked_link("http://dwbillcenter.alipay.com/a?b=1", "https://openapi.alipay.com/gateway.do", ".alipay.com")
    assert link == "https://dwbillcenter.alipay.com/a?b=1"


def test_the_simulator_s_sources_are_what_the_form_accepts(channel: ChannelServer, wechat: ChannelContract) -> None:
    source_check(wechat_source(channel, wechat))
