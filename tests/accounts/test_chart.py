"""The chart: its tree, files out and in with errors per row, maker and checker, and what the database refuses."""

from __future__ import annotations

import datetime as dt
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError

from payops.accounts import services
from payops.accounts.chart_files import FORMATS, chart_difference, chart_export, chart_read
from payops.accounts.models import Account, Subject
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from tests.accounts.test_guards import refused, run


def row(code: str, **changes: str) -> dict[str, str]:
    """A new liability under 2241, unless told otherwise."""
    return {
        "code": code, "name": "Coupons", "name_zh": "优惠券", "element": "liability", "side": "C", "erp_code": "",
        **changes,
    }  # fmt: skip


def file_of(*rows: dict[str, str]) -> bytes:
    return yaml.safe_dump(list(rows), allow_unicode=True).encode()


def present(code: str, **changes: str) -> dict[str, str]:
    """A subject as it is, with changes."""
    rows = {each["code"]: each for each in yaml.safe_load(chart_export("yaml"))}
    return {**rows[code], **changes}


def propose(maker: Any, *rows: dict[str, str]) -> ApprovalRequest:
    return services.chart_propose(content=file_of(*rows), name="chart.yaml", reason="new product", maker=maker)


def errors_of(*rows: dict[str, str]) -> list[str]:
    return [error.message for error in chart_difference(chart_read(file_of(*rows), "c.yaml")).errors]


# --- files ---


@pytest.mark.parametrize("file_format", sorted(FORMATS))
def test_a_chart_exported_and_read_again_is_the_same(ledger: dt.date, file_format: str) -> None:
    Subject.objects.filter(code="220201").update(erp_code="2202-01", name="=A1 pending")
    content = chart_export(file_format)
    difference = chart_difference(chart_read(content, f"chart.{file_format}"))
    assert (difference.errors, bool(difference), difference.not_in_file) == ([], False, [])
    assert chart_export(file_format) == content


def test_a_spreadsheet_keeps_codes_as_numbers_and_is_read_all_the_same(ledger: dt.date) -> None:
    import io

    import xlsxwriter

    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer)
    sheet = workbook.add_worksheet()
    sheet.write_row(0, 0, ["code", "name", "name_zh", "element", "side", "erp_code"])
    sheet.write_row(1, 0, [1002, "Bank deposits", "银行存款", "asset", "D", 77])
    workbook.close()
    (read,) = chart_read(buffer.getvalue(), "chart.xlsx")
    assert (read["code"], read["erp_code"]) == ("1002", "77")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x00\x01\x02", "chart.yaml"), (b"not a zip", "chart.xlsx"), (b"", "chart.csv"), (b"a: 1", "chart.yaml"),
        (b"code,name\r\n1002,x\r\n", "chart.csv"), (b"- {code: '1'}", "chart.txt"), (b"\xff\xfe", "chart.csv"),
        (b"x" * 2_000_001, "chart.csv"), (b"[1, 2]", "chart.yaml"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_chart_is_refused(ledger: dt.date, content: bytes, name: str) -> None:
    with pytest.raises(PayopsError) as caught:
        chart_read(content, name)
    assert caught.value.code == "chart.unreadable"


# --- differences ---


def test_the_difference_tells_added_renamed_and_erp_codes(ledger: dt.date) -> None:
    rows = [row("2241.07"), present("2241.01", name="Surplus"), present("2241.02", erp_code="E-2")]
    difference = chart_difference(chart_read(file_of(*rows), "c.yaml"))
    assert [each["code"] for each in difference.added] == ["224107"]
    assert difference.renamed == [("224101", "name", "Surplus in suspense", "Surplus")]
    assert difference.erp_codes == [("224102", "erp_code", "", "E-2")]
    assert "220201" in difference.not_in_file


def test_four_levels_may_come_in_one_file_in_any_order(ledger: dt.date, alice: Any, bob: Any) -> None:
    rows = [row("2251.01.01.01"), row("2251.01"), row("2251"), row("2251.01.01")]
    request_approve(request_id=propose(alice, *rows).pk, checker=bob)
    leaves = dict(Subject.objects.filter(code__startswith="2251").values_list("code", "is_leaf"))
    assert leaves == {"2251": False, "225101": False, "22510101": False, "2251010101": True}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (row("2241.07.01.01.01"), "up to four levels"),
        (row("22417"), "four digits"),
        (row("2299.01"), "superior subject 2299 is missing"),
        (row("2202.01.01"), "superior subject 2202.01 carries accounts"),
        (row("1221.02.01", element="asset", side="D"), "posting rule books on its superior"),
        (row("2241.07", element="asset"), "differs from that of its superior"),
        (row("2241.07", element="debt"), "is none of"),
        (row("2241.07", side="X"), "D or C"),
        (row("2241.07", name=""), "missing name"),
        (row("2241.07", name="n" * 81), "longer than 80"),
        (row("2202.01", name="Pending settlement", name_zh="待结算", side="D"), "cannot change"),
    ],
)
def test_an_error_names_its_row_and_the_reason(ledger: dt.date, wrong: dict[str, str], words: str) -> None:
    # 1221.02 carries no accounts here, but a rule to come books on it.
    if words.startswith("posting rule"):
        rule = [
            {"side": "D", "subject": "1221.02", "owner": "institution", "amount": "A"},
            {"side": "C", "subject": "6021.01", "owner": "institution", "amount": "A"},
        ]
        services.posting_rule_create(event=101, lines=rule, effective_day=ledger + dt.timedelta(days=9))
    found = chart_difference(chart_read(file_of(row("2241.08"), wrong), "c.yaml")).errors
    assert {error.row for error in found} == {2}
    assert any(words in error.message for error in found), found


def test_a_code_that_stands_twice_is_an_error(ledger: dt.date) -> None:
    assert errors_of(row("2241.07"), row("2241.07")) == ["it stands in the file twice."]


def test_a_subject_without_accounts_may_change_its_side(ledger: dt.date, alice: Any, bob: Any) -> None:
    request_approve(request_id=propose(alice, row("2241.07")).pk, checker=bob)
    request_approve(request_id=propose(alice, row("2241.07", side="D")).pk, checker=bob)
    assert Subject.objects.get(code="224107").normal_side == "D"


# --- maker and checker ---


def test_a_chart_is_taken_over_when_another_person_approves(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(alice, row("2241.07", erp_code="E-7"), present("2241.01", name="Surplus"))
    assert not Subject.objects.filter(code="224107").exists()
    request_approve(request_id=request.pk, checker=bob)
    added = Subject.objects.get(code="224107")
    assert (added.parent.code, added.erp_code, added.is_leaf) == ("2241", "E-7", True)
    assert Subject.objects.get(code="224101").name == "Surplus"


def test_an_approved_name_outlives_the_next_set_up(ledger: dt.date, alice: Any, bob: Any) -> None:
    request_approve(request_id=propose(alice, present("2241.01", name="Surplus")).pk, checker=bob)
    services.ledger_setup()
    assert Subject.objects.get(code="224101").name == "Surplus"


def test_a_chart_changed_meanwhile_makes_the_proposal_stale(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(alice, row("2241.07.01"), row("2241.07"))
    services.chart_apply(chart_read(file_of(row("2241.07")), "c.yaml"))
    account = Account.objects.get(account_no="224102-M-A")
    services.account_open(subject_code="2241.07", owner_kind=account.owner_kind, owner_no="M-A")
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=bob)
    assert caught.value.code == "approvals.target_changed"


def test_a_file_with_errors_is_not_proposed(ledger: dt.date, alice: Any) -> None:
    with pytest.raises(PayopsError) as caught:
        propose(alice, row("2241.07"), row("2299.01"))
    assert caught.value.code == "chart.rows"
    assert caught.value.context["errors"][0]["row"] == 2


def test_a_file_that_changes_nothing_is_not_proposed(ledger: dt.date, alice: Any) -> None:
    with pytest.raises(PayopsError) as caught:
        propose(alice, present("2241.01"))
    assert caught.value.code == "chart.no_difference"


# --- the command ---


def output_of(*arguments: str) -> Any:
    out = StringIO()
    call_command("chart", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_writes_and_compares(ledger: dt.date, tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    output_of("export", str(path))
    assert json.loads(output_of("import", str(path), "--check", "--json"))["added"] == []


def test_the_command_proposes_for_a_person(ledger: dt.date, tmp_path: Path, alice: Any) -> None:
    path = tmp_path / "chart.yaml"
    path.write_bytes(file_of(row("2241.07")))
    found = json.loads(output_of("import", str(path), "--maker", "alice", "--reason", "coupons", "--json"))
    assert ApprovalRequest.objects.get(pk=found["request"]).maker == alice
    assert found["added"] == ["2241.07"]


def test_the_command_names_every_error(ledger: dt.date, tmp_path: Path) -> None:
    path = tmp_path / "chart.yaml"
    path.write_bytes(file_of(row("2299.01"), row("1")))
    with pytest.raises(CommandError, match="2 errors"):
        output_of("import", str(path), "--check")


# --- what the database refuses ---


def insert(code: str, parent: str | None) -> None:
    run(
        "INSERT INTO accounts_subject (code, name, name_zh, element, normal_side, parent_id, is_leaf, erp_code)"
        " VALUES (%s, 'x', 'x', 'liability', 'C', (SELECT id FROM accounts_subject WHERE code = %s), true, '')",
        code,
        parent,
    )


@pytest.mark.parametrize(("code", "parent"), [("220207", "2241"), ("220207", None), ("2299", "2241")])
def test_a_code_names_its_superior(ledger: dt.date, code: str, parent: str | None) -> None:
    with refused("PL010"):
        insert(code, parent)


def test_a_subject_with_accounts_takes_no_sub_subjects(ledger: dt.date) -> None:
    with refused("PL010"):
        insert("22020101", "220201")


def test_a_subject_with_accounts_stays_a_leaf(ledger: dt.date) -> None:
    with refused("PL010"):
        run("UPDATE accounts_subject SET is_leaf = false WHERE code = '220201'")


def test_a_subject_with_sub_subjects_is_never_a_leaf(ledger: dt.date) -> None:
    with refused("PL010"):
        run("UPDATE accounts_subject SET is_leaf = true WHERE code = '2202'")


def test_no_account_stands_under_a_subject_with_sub_subjects(ledger: dt.date) -> None:
    with refused("PL003"):
        run(
            "INSERT INTO accounts_account (account_no, subject_id, currency, owner_kind, owner_no, status, balance,"
            " frozen, opened_at) SELECT 'X', id, 'CNY', 'merchant', 'X', 'normal', 0, 0, now() FROM accounts_subject"
            " WHERE code = '2202'"
        )
