"""File sources: what is refused, who decides, what is kept of secrets, and what the database itself refuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import action_get
from payops.approvals.services import request_approve
from payops.channels.fetch.approval import source_propose
from payops.channels.fetch.checks import secret_of, source_check
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from tests.channels.fetch.conftest import DAY, approved, key_pair, unsaved

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQ"


def sftp(contract: ChannelContract, **changes: Any) -> FileSource:
    """An SFTP source with a password."""
    options = {"pattern": r"(?P<date>\d{8})\.csv", "username": "payops", "host_key": HOST_KEY}
    fields = {"kind": "sftp", "address": "sftp://bills.example:22/out", "options": options, "secret": "s3cret-word"}
    return unsaved(contract, **{**fields, **changes})


def test_a_source_is_in_force_once_a_second_person_agreed(folder: FileSource) -> None:
    assert (folder.version, folder.is_current, folder.made_by) == (1, True, "alice")
    assert folder.approval.checker.username == "bob"


def test_a_change_is_another_version_and_the_former_one_stays(
    folder: FileSource, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    changed = approved(alice, bob, unsaved(wechat, every_minutes=5))
    folder.refresh_from_db()
    assert (changed.version, changed.every_minutes, folder.is_current, folder.every_minutes) == (2, 5, False, 15)


def test_a_secret_is_readable_nowhere_but_through_the_source(wechat: ChannelContract, alice: Any, bob: Any) -> None:
    source = approved(alice, bob, sftp(wechat))
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(s)::text FROM channels_filesource s")
        stored = cursor.fetchone()[0]
        cursor.execute("SELECT row_to_json(r)::text FROM approvals_approvalrequest r")
        proposed = cursor.fetchone()[0]
    shown = action_get("channels.file_source").describe(ApprovalRequest.objects.get())
    assert "s3cret-word" not in stored + proposed + str(shown)
    assert secret_of(source) == "s3cret-word"


def test_a_change_without_a_secret_keeps_the_one_before(wechat: ChannelContract, alice: Any, bob: Any) -> None:
    approved(alice, bob, sftp(wechat))
    assert secret_of(approved(alice, bob, sftp(wechat, secret="", every_minutes=5))) == "s3cret-word"


def test_a_secret_never_follows_to_another_address(wechat: ChannelContract, alice: Any, bob: Any) -> None:
    approved(alice, bob, sftp(wechat))
    with pytest.raises(PayopsError, match="missing"):
        source_propose(
            source=sftp(wechat, secret="", address="sftp://elsewhere.example/out"), reason="new host", maker=alice
        )


def test_a_secret_may_lie_in_a_file_below_the_folder_of_secrets(
    wechat: ChannelContract, alice: Any, bob: Any, folders: Any
) -> None:
    (folders / "secrets").mkdir()
    (folders / "secrets" / "sftp.txt").write_text("from-the-file\n")
    source = approved(alice, bob, sftp(wechat, secret="", secret_file="sftp.txt"))
    assert secret_of(source) == "from-the-file"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deadline": dt.time(9, 0)}, "fetch.bad_deadline"),
        ({"empty_after": dt.time(9, 0)}, "fetch.bad_empty_after"),
        ({"empty_after": dt.time(10, 0), "bill_type": "account_log"}, "fetch.bad_empty_after"),
        ({"every_minutes": 0}, "fetch.bad_every_minutes"),
        ({"address": "../elsewhere"}, "fetch.bad_address"),
        ({"address": "/etc"}, "fetch.bad_address"),
        ({"options": {"pattern": r"wx_\d{8}"}}, "fetch.bad_pattern"),
        ({"options": {"pattern": "("}}, "fetch.bad_pattern"),
        ({"secret_file": "../../etc/passwd"}, "fetch.bad_secret_file"),
    ],
)
def test_what_could_never_work_is_refused_before_it_is_proposed(
    wechat: ChannelContract, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(PayopsError) as refused:
        source_check(unsaved(wechat, **changes))
    assert refused.value.code == code


def test_an_address_on_the_open_web_is_encrypted(wechat: ChannelContract) -> None:
    options = {"mchid": "1", "serial_no": "A", "platform_serial": "B", "bill": "trade"}
    options["platform_key"] = key_pair("platform")[1]
    source = unsaved(
        wechat, kind="wechat", address="http://api.mch.weixin.qq.com", options=options, secret=key_pair("merchant")[0]
    )
    with pytest.raises(PayopsError, match="https"):
        source_check(source)


def test_a_wrong_key_is_refused_without_being_repeated(wechat: ChannelContract) -> None:
    options = {"mchid": "1", "serial_no": "A", "platform_serial": "B", "bill": "trade"}
    options["platform_key"] = key_pair("platform")[1]
    damaged = key_pair("merchant")[0].replace("MII", "MXI", 1)
    source = unsaved(wechat, kind="wechat", address="https://api.mch.weixin.qq.com", options=options, secret=damaged)
    with pytest.raises(PayopsError) as refused:
        source_check(source)
    assert damaged[40:80] not in str(refused.value)


def test_two_changes_of_one_source_are_not_both_decided_unseen(
    folder: FileSource, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    first = source_propose(source=unsaved(wechat, every_minutes=5), reason="faster", maker=alice)
    with pytest.raises(PayopsError, match="already"):
        source_propose(source=unsaved(wechat, every_minutes=30), reason="slower", maker=alice)
    request_approve(request_id=first.pk, checker=bob)


# --- what the database itself refuses --------------------------------------------------------------------------


def refused(statement: str, *values: Any) -> str:
    """The database's own words."""
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        _executed(statement, values)
    return str(error.value)


def _executed(statement: str, values: tuple[Any, ...]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement, values)


def test_the_database_refuses_to_edit_a_version(folder: FileSource) -> None:
    assert "never changes" in refused("UPDATE channels_filesource SET address = 'elsewhere' WHERE id = %s", folder.pk)


def test_the_database_refuses_to_bring_a_former_version_back(
    folder: FileSource, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    approved(alice, bob, unsaved(wechat, every_minutes=5))
    assert "never changes" in refused("UPDATE channels_filesource SET is_current = true WHERE id = %s", folder.pk)


def test_the_database_refuses_to_forget_a_source(folder: FileSource) -> None:
    assert "refused" in refused("DELETE FROM channels_filesource WHERE id = %s", folder.pk)
    assert "refused" in refused("TRUNCATE channels_filesource CASCADE")


COPY_OF = (
    "INSERT INTO channels_filesource (contract_id, name, version, kind, bill_type, address, options, secret,"
    " secret_file, first_day, first_try, every_minutes, deadline, active, is_current, made_by, approval_id, made_at)"
    " SELECT contract_id, 'other', 1, kind, bill_type, address, options, secret, secret_file, first_day, first_try,"
    " every_minutes, deadline, active, is_current, made_by, %s, made_at FROM channels_filesource WHERE id = %s"
)


def test_the_database_refuses_a_source_nobody_approved(
    folder: FileSource, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    pending = source_propose(source=unsaved(wechat, every_minutes=5), reason="faster", maker=alice)
    assert "no approved one" in refused(COPY_OF, pending.pk, folder.pk)


def test_the_database_refuses_two_sources_from_one_request(folder: FileSource) -> None:
    assert "unique" in refused(COPY_OF, folder.approval_id, folder.pk)


def test_the_database_refuses_to_change_what_was_tried(folder: FileSource) -> None:
    now = dt.datetime(2026, 11, 19, 2, tzinfo=dt.UTC)
    attempt = FetchAttempt.objects.create(
        source=folder, contract=folder.contract, channel_date=DAY, outcome="nothing", started_at=now, finished_at=now
    )
    assert "refused" in refused("UPDATE channels_fetchattempt SET outcome = 'no_bill' WHERE id = %s", attempt.pk)
    assert "refused" in refused("DELETE FROM channels_fetchattempt WHERE id = %s", attempt.pk)
