"""`bank_reconcile` as scripts use it: JSON on standard output, messages on standard error, nothing half done."""

from __future__ import annotations

import json

import pytest

from payops.channels.models import BankAccount
from payops.reconciliation import funds
from payops.reconciliation.bank.models import BankReconciliation
from payops.reconciliation.funds import movements
from tests.dayend.days import output_of
from tests.orders.conftest import World
from tests.reconciliation.money import MONDAY, bill, build, settlement


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movements, "_handlers", {})


def agreed(world: World) -> None:
    bill(world, 9_000)
    settlement(9_000)
    funds.funds_match()


def test_the_statement_of_an_account_is_json_alone_on_standard_output(world: World) -> None:
    agreed(world)
    code, out, err = output_of("bank_reconcile", "--account", "RSV", "--date", MONDAY.isoformat(), "--json")
    (told,) = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["account"], told["date"], told["difference"]) == ("RSV", MONDAY.isoformat(), 0)


def test_people_read_both_sides_and_the_difference(world: World) -> None:
    agreed(world)
    code, out, _err = output_of("bank_reconcile", "--date", MONDAY.isoformat())
    assert code == 0
    assert "balance of the journal" in out
    assert out.rstrip().splitlines()[-1].split() == ["difference", "0.00"]


def test_a_difference_ends_with_one_and_is_told_all_the_same(world: World) -> None:
    from tests.reconciliation.bank.test_statement import stated

    agreed(world)
    stated(9_001)
    code, out, _err = output_of("bank_reconcile", "--account", "RSV", "--date", MONDAY.isoformat(), "--json")
    assert (code, json.loads(out)[0]["difference"]) == (1, 1)


def test_asked_twice_there_is_one_statement(world: World) -> None:
    agreed(world)
    for _time in range(2):
        assert output_of("bank_reconcile", "--date", MONDAY.isoformat())[0] == 0
    assert BankReconciliation.objects.count() == 1


@pytest.mark.parametrize(
    ("account", "code", "says"),
    [
        ("NONE", "bank.unknown_account", "There is no bank account NONE"),
        ("OWN-CMD", "bank.not_a_reserve_account", "OWN-CMD is not a reserve account"),
    ],
)
def test_an_account_that_cannot_be_compared_is_named_and_nothing_is_kept(
    world: World, account: str, code: str, says: str
) -> None:
    BankAccount.objects.create(code="OWN-CMD", bank_name="Bank", account_no="6225", kind="own")
    ended, out, err = output_of("bank_reconcile", "--account", account, "--date", MONDAY.isoformat(), "--json")
    assert (ended, json.loads(out)["error"]["code"]) == (1, code)
    assert says in err
    assert not BankReconciliation.objects.exists()


@pytest.mark.parametrize("date", ["2026-13-01", "yesterday", ""])
@pytest.mark.parametrize(
    "command", ["bank_reconcile", "internal_check", "merchant_check", "fetch_bills", "restore_partition"]
)
def test_a_date_that_is_none_is_refused_with_the_value(db: None, command: str, date: str) -> None:
    code, out, err = output_of(command, "--date", date)
    assert (code, out) == (1, "")
    assert "--date" in err
    assert repr(date) in err


@pytest.mark.parametrize("command", ["bank_reconcile", "internal_check", "merchant_check", "restore_partition"])
def test_a_date_is_asked_for(db: None, command: str) -> None:
    code, out, err = output_of(command)
    assert (code, out) == (1, "")
    assert "--date" in err


@pytest.mark.parametrize("command", ["internal_check", "merchant_check"])
def test_a_day_without_books_is_an_error_in_json_and_in_words(world: World, command: str) -> None:
    code, out, err = output_of(command, "--date", "2031-01-06", "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"]
    assert "2031-01-06" in err


@pytest.mark.parametrize("command", ["internal_check", "merchant_check"])
def test_a_day_on_which_everything_agrees_ends_with_zero(world: World, command: str) -> None:
    code, out, err = output_of(command, "--date", MONDAY.isoformat(), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["agrees"] is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--older-than", "soon"), "--older-than"),
        (("--older-than", "100", "--table", "auth_user"), "auth_user"),
    ],
)
def test_what_cannot_be_archived_is_refused_with_its_name(db: None, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = output_of("archive_partitions", *arguments)
    assert (code, out) == (1, "")
    assert says in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("archive_partitions", "--older-than", "100", "--table", "auth_user"),
        ("restore_partition", "--date", MONDAY.isoformat()),
    ],
)
def test_a_refusal_of_the_archive_is_json_too(db: None, arguments: tuple[str, ...]) -> None:
    code, out, err = output_of(*arguments, "--json")
    assert code == 1
    error = json.loads(out)["error"]
    assert error["code"].startswith("archive.")
    assert error["message"] in err


def test_where_nothing_is_old_enough_nothing_is_archived(db: None) -> None:
    code, out, err = output_of("archive_partitions", "--older-than", "4000", "--json")
    assert (code, json.loads(out)["archived"], err) == (0, [], "")


def test_a_channel_nobody_knows_is_refused_before_anything_is_fetched(db: None) -> None:
    code, out, err = output_of("fetch_bills", "--channel", "NOBODY", "--date", MONDAY.isoformat(), "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"]
    assert "NOBODY" in err


def test_without_a_source_nothing_is_due(db: None) -> None:
    assert output_of("fetch_bills", "--json") == (0, '{"attempts": [], "failed": []}\n', "")
