"""A mapped format is proposed, decided by another person, read with, and never changed."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.approvals.services import request_approve, request_submit
from payops.channels.bills.selectors import accepted_file, bill_line_raw, line_range
from payops.channels.bills.services import bill_load
from payops.channels.formats import get_format
from payops.channels.formats.generic_spec import SpecError
from payops.channels.mapping import notation
from payops.channels.mapping.approval import ACTION, TARGET, mapping_propose
from payops.channels.mapping.models import FormatMapping
from payops.channels.models import BillFile, BillLine, Channel
from payops.channels.services import ContractData, channel_contract_upsert
from payops.core.errors import PayopsError
from tests.channels.bills.conftest import contract
from tests.channels.test_generic import DAY, PAID, REFUNDED, SPEC, bill
from tests.reconciliation.builders import MON, build_town, found, pay, reverse

SAMPLE = {"name": "sample.csv", "sha256": "0" * 64, "lines": 2, "bad": 0, "proven": True, "refused": ""}


def propose(maker: Any, code: str = "newpay", **changes: Any):
    spec = {**SPEC, **changes}
    return mapping_propose(code=code, name="New Pay", spec=spec, sample=SAMPLE, reason="New channel.", maker=maker)


def approved(alice: Any, bob: Any, **changes: Any) -> FormatMapping:
    """A version that two people agreed on."""
    proposal = propose(alice, **changes)
    request_approve(request_id=proposal.pk, checker=bob)
    return FormatMapping.objects.get(approval=proposal)


@pytest.fixture
def mapping(alice, bob):
    return approved(alice, bob)


@pytest.fixture
def newpay(mapping):
    return contract("NEWPAY", "generic:newpay", "M100")


def load(newpay, text: str, name: str = "bill.csv") -> BillFile:
    return bill_load(contract=newpay, channel_date=DAY, stream=io.BytesIO(text.encode()), name=name, user="alice")


# --- maker and checker ---


def test_nothing_is_read_with_a_mapping_before_it_is_approved(alice, bob):
    proposal = propose(alice)
    with pytest.raises(PayopsError) as caught:
        get_format("generic:newpay")
    assert caught.value.code == "bill.unknown_format"
    request_approve(request_id=proposal.pk, checker=bob)
    assert get_format("generic:newpay").code == "generic:newpay@1"


def test_the_maker_cannot_approve_a_mapping(alice):
    proposal = propose(alice)
    with pytest.raises(PayopsError):
        request_approve(request_id=proposal.pk, checker=alice)
    assert not FormatMapping.objects.exists()


def test_a_mapping_that_cannot_work_is_not_even_proposed(alice):
    with pytest.raises(SpecError):
        propose(alice, kinds=[])
    with pytest.raises(SpecError) as caught:
        propose(alice, code="New Pay")
    assert "code" in caught.value.problems


def test_a_proposal_made_from_an_older_version_is_refused(alice, bob, mapping):
    stale = propose(alice, trim="`")
    rival = request_submit(
        action=ACTION, target_kind="channels.other", target_id="newpay", payload=stale.payload, amount=None,
        currency="", title="Rival", reason="Rival.", maker=alice,
    )  # fmt: skip
    request_approve(request_id=rival.pk, checker=bob)
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=stale.pk, checker=bob)
    assert caught.value.code == "approvals.target_changed"


def test_the_checker_sees_every_part_of_the_mapping(alice):
    from payops.approvals.registry import action_get

    rows = dict(action_get(ACTION).describe(propose(alice)).rows)
    text = "\n".join(map(str, rows.values()))
    for words in (
        "generic:newpay",
        "流水号",
        "日期 + 时间",
        "类型 = 退款: refund",
        "footer 1 2: count",
        "2 lines read",
    ):
        assert words in text


def test_what_people_write_is_what_is_kept():
    kinds = "类型 = 支付: payment\nnegative: refund\npositive: payment\notherwise: ignore"
    assert notation.kinds_text(notation.kinds_of(kinds)) == kinds
    words = "status: S = SUCCESS\ncurrency: 156 = CNY"
    assert notation.words_text(notation.words_of(words)) == words
    totals = "header 1 2: count\nfooter 1 3: refund.amount"
    assert notation.totals_text(notation.totals_of(totals)) == totals
    for place in ("流水号", "日期 + 时间", "=CNY"):
        assert notation.place_text(notation.place_of(place)) == place
    for read, text in ((notation.kinds_of, "支付"), (notation.words_of, "S"), (notation.totals_of, "3: count")):
        with pytest.raises(SpecError):
            read(text)


# --- what the database guards ---


@pytest.mark.parametrize("statement", [
    "UPDATE channels_formatmapping SET spec = '{}'",
    "UPDATE channels_formatmapping SET name = 'x'",
    "DELETE FROM channels_formatmapping",
    "TRUNCATE channels_formatmapping CASCADE",
])  # fmt: skip
def test_the_database_refuses_to_change_or_remove_a_version(mapping, statement):
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    mapping.refresh_from_db()
    assert mapping.spec["footer_mark"] == "合计"


def insert(version: int, approval_id: int, code: str = "newpay") -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO channels_formatmapping (code, name, version, spec, made_by, approval_id, made_at)"
            " SELECT %s, 'x', %s, payload -> 'spec', 'x', id, now() FROM approvals_approvalrequest WHERE id = %s",
            [code, version, approval_id],
        )


def test_the_database_refuses_a_version_out_of_turn(alice, mapping):
    with pytest.raises(DatabaseError, match="out of turn"):
        insert(3, propose(alice, trim="`").pk)


def test_the_database_refuses_a_version_nobody_proposed(alice, mapping):
    proposal = propose(alice, trim="`")
    with pytest.raises(DatabaseError, match="did not propose"):
        insert(1, proposal.pk, code="other")
    with pytest.raises(DatabaseError, match="did not propose"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO channels_formatmapping (code, name, version, spec, made_by, approval_id, made_at)"
            " VALUES ('newpay', 'x', 2, '{}', 'x', %s, now())",
            [proposal.pk],
        )


def test_a_file_keeps_the_version_it_was_read_with(newpay):
    file = load(newpay, bill(PAID, REFUNDED))
    with pytest.raises(DatabaseError), transaction.atomic():
        BillFile.objects.filter(pk=file.pk).update(bill_format="generic:newpay@2")


# --- reading ---


def test_a_mapped_bill_is_accepted_and_proven_and_its_lines_are_found_again(newpay):
    file = load(newpay, bill(PAID, REFUNDED))
    assert (file.state, file.proven, file.line_count, file.bill_format) == ("accepted", True, 2, "generic:newpay@1")
    refunded = BillLine.objects.in_range(*line_range(file)).order_by("-id")[0]
    assert (refunded.kind, refunded.match_key, refunded.settled_amount) == (2, "R1", -1988)
    assert bill_line_raw(refunded) == REFUNDED


def test_an_unreadable_line_holds_a_mapped_bill(newpay):
    file = load(newpay, bill(PAID, REFUNDED.replace("20.00", "x")))
    assert (file.state, file.error_code, len(file.bad_lines)) == ("held", "bill.unreadable_lines", 1)


def test_totals_that_differ_reject_a_mapped_bill(newpay):
    assert load(newpay, bill(PAID)).error_code == "bill.footer_mismatch"


def test_the_same_bytes_are_a_duplicate_until_the_mapping_changes(newpay, alice, bob):
    first = load(newpay, bill(PAID, REFUNDED))
    assert load(newpay, bill(PAID, REFUNDED), "again.csv").pk == first.pk
    approved(alice, bob, settled="gross")
    second = load(newpay, bill(PAID, REFUNDED), "again.csv")
    first.refresh_from_db()
    assert (second.version, second.bill_format, first.state) == (2, "generic:newpay@2", "superseded")
    assert (second.totals["all"]["settled"], first.totals["all"]["settled"]) == (8000, 7952)


def test_a_line_of_an_older_version_is_still_shown_as_it_was_read(newpay, alice, bob):
    file = load(newpay, bill(PAID, REFUNDED))
    line = BillLine.objects.in_range(*line_range(file)).order_by("id")[0]
    approved(alice, bob, fields={**SPEC["fields"], "trade_no": {"columns": ["新流水号"]}})
    assert bill_line_raw(line) == PAID


# --- a new channel, from its mapping to its first run ---


def test_a_new_channel_is_mapped_contracted_loaded_and_reconciled(alice, bob):
    town = build_town()
    approved(alice, bob)
    channel = Channel.objects.create(code="newpay", name="New Pay")
    wechat = town.contract
    made = channel_contract_upsert(
        code="NEWPAY",
        data=ContractData(
            channel=channel, account_no="N-1", bill_format="generic:newpay", cut_off=dt.time(0, 0),
            reserve_account=wechat.reserve_account,
        ),
    )  # fmt: skip
    at = {"channel": "newpay", "channel_account": "N-1"}
    town.orders(
        pay("1", MON, channel_request_no="O1", **at),
        reverse("2", "1", MON, amount="20.00", channel_request_no="R1", **at),
        pay("3", MON, channel_request_no="O3", amount="5.00", **at),
    )
    town.close(MON)
    paid, refunded = (row.replace(DAY.isoformat(), MON.isoformat()) for row in (PAID, REFUNDED))
    file = bill_load(
        contract=made, channel_date=MON, stream=io.BytesIO(bill(paid, refunded).encode()), name="n.csv", user="alice"
    )
    assert accepted_file(made, MON) == file
    run = town.run(MON, made)
    assert (run.matched_count, run.channel_amount) == (2, 8_000)
    assert found(run) == [("own_only", "O3", -500)]


def test_a_contract_cannot_name_a_mapping_that_is_not_there(db):
    town = build_town()
    with pytest.raises(PayopsError) as caught:
        channel_contract_upsert(
            code="X",
            data=ContractData(
                channel=town.contract.channel, account_no="N-1", bill_format="generic:nobody", cut_off=dt.time(0, 0),
                reserve_account=town.contract.reserve_account,
            ),
        )  # fmt: skip
    assert caught.value.code == "bill.unknown_format"


def test_the_target_of_a_proposal_is_its_code(alice):
    proposal = propose(alice)
    assert (proposal.target_kind, proposal.target_id) == (TARGET, "newpay")
    with pytest.raises(PayopsError):
        propose(alice, trim="`")
