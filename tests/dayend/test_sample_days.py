"""The sample days: always the same, in formats the parsers take, with the differences they answer for and no others."""

from __future__ import annotations

import datetime as dt
import filecmp
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from payops.channels.formats import Expectation, Source, get_format
from payops.dayend.sample.differences import PLANTINGS
from payops.dayend.sample.generator import generate
from payops.dayend.sample.plan import CONTRACTS, Options
from payops.discrepancies.choices import CaseKind
from payops.reconciliation.choices import ResultKind
from tests.dayend.naive_reconciliation import reconcile

SMALL = Options(merchants=40, transactions=3_000)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample")
    generate(root, SMALL)
    return root


@pytest.fixture(scope="module")
def answers(sample: Path) -> dict[str, Any]:
    return json.loads((sample / "answers.json").read_text(encoding="utf-8"))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_same_seed_gives_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path, SMALL)
    same, different, missing = filecmp.cmpfiles(sample, tmp_path, files(sample), shallow=False)
    assert (different, missing) == ([], [])
    assert sorted(same) == files(tmp_path)


def test_another_seed_gives_other_days(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path, Options(seed=1, merchants=40, transactions=3_000))
    assert files(tmp_path) == files(sample)
    orders = "2026-11-13/orders.csv"
    assert (tmp_path / orders).read_bytes() != (sample / orders).read_bytes()


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.code)
def test_every_bill_parses_and_adds_up_to_the_answers(sample: Path, answers: dict[str, Any], contract: Any) -> None:
    for day in SMALL.days:
        (path,) = (sample / day.isoformat()).glob(f"bill_{contract.code}_*")
        expect = Expectation(account=contract.account_no, channel_date=day, file_name=path.name)
        reader = get_format(contract.bill_format).open(Source.of(path), expect)
        lines = list(reader)
        (totals,) = (
            entry
            for entry in answers["totals"]
            if (entry["contract"], entry["channel_date"]) == (contract.code, day.isoformat())
        )
        assert reader.bad_lines == []
        assert (totals["count"], totals["settled"], totals["fee"]) == (
            len(lines),
            sum(line.settled_amount for line in lines),
            sum(line.fee for line in lines),
        )


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.code)
def test_a_second_opinion_finds_what_the_answers_say_and_nothing_else(
    sample: Path, answers: dict[str, Any], contract: Any
) -> None:
    found = reconcile(sample, contract.code, SMALL.days)
    counts: dict[str, dict[str, int]] = {}
    for (day, kind, _key), count in found.items():
        of_day = counts.setdefault(day.isoformat(), {})
        of_day[kind] = of_day.get(kind, 0) + count
    assert counts == answers["counts"][contract.code]
    expected = Counter(
        (dt.date.fromisoformat(result["channel_date"]), result["kind"], result["key"])
        for planted in answers["differences"]
        if planted["contract"] == contract.code
        for result in planted["results"]
    )
    assert expected - found == Counter()


def test_every_kind_of_difference_is_planted(answers: dict[str, Any]) -> None:
    kinds = {result["kind"] for planted in answers["differences"] for result in planted["results"]}
    # Groups need a rule of the contract or two people, which the sample days do not have.
    assert kinds == set(ResultKind.values) - {"matched", "split", "lump", "by_hand"}
    assert {planted["case_kind"] for planted in answers["differences"]} - {""} <= set(CaseKind.values)
    assert len({planted["name"] for planted in answers["differences"]}) == len(PLANTINGS)


def test_a_difference_that_stays_is_escalated_within_the_days(answers: dict[str, Any]) -> None:
    assert "escalated" in {planted["fate"] for planted in answers["differences"]}


def test_the_natural_carry_over_is_counted(answers: dict[str, Any]) -> None:
    for code in ("WECHAT", "ALIPAY"):
        days = answers["counts"][code]
        for day, next_day in zip(list(days), list(days)[1:], strict=False):
            assert days[next_day]["channel_cleared"] >= 1
            assert days[day]["channel_in_doubt"] >= days[next_day]["channel_cleared"] - 2


def test_what_the_channels_pay_is_what_the_bills_settle_but_for_the_planted_shortage(
    sample: Path, answers: dict[str, Any]
) -> None:
    differing = []
    for receipt in answers["receipts"]:
        if receipt["contract"] and receipt["due"] != receipt["paid"]:
            differing.append((receipt["contract"], receipt["due"] - receipt["paid"]))
    assert differing == [("ALIPAY", 1234)]
    weekend = [r["value_date"] for r in answers["receipts"] if r["channel_date"] in ("2026-11-13", "2026-11-15")]
    assert set(weekend) == {"2026-11-16"}
    entries = json.loads((sample / "2026-11-13" / "settlements.json").read_text(encoding="utf-8"))["settlements"]
    assert [entry["amount"] for entry in entries][-1] == 88_888


def test_the_set_up_has_gross_merchants_other_cycles_and_minimum_amounts(sample: Path) -> None:
    merchants = yaml.safe_load((sample / "setup.yaml").read_text(encoding="utf-8"))["merchants"]
    assert len(merchants) == SMALL.merchants
    gross = [m for m in merchants if m["products"][0]["collection"] == "gross"]
    assert len(gross) == 4
    assert {m["terms"]["cycle"] for m in merchants} == {"T+1", "T+2", "D+1"}
    assert {m["terms"]["minimum_amount"] for m in merchants} == {"1.00", "100.00", "1000.00"}


@pytest.mark.django_db
def test_the_set_up_file_loads_and_loading_it_again_changes_nothing(sample: Path) -> None:
    call_command("load_setup", sample / "setup.yaml")
    report = []
    call_command("load_setup", sample / "setup.yaml", stdout=Lines(report))
    assert not any(line.startswith(("created", "changed")) for line in report)


@pytest.mark.parametrize("days", [1, 2])
def test_fewer_days_hold_what_fits_into_them(tmp_path: Path, days: int) -> None:
    options = Options(merchants=40, transactions=600, last=dt.date(2026, 11, 12 + days))
    generate(tmp_path, options)
    for contract in CONTRACTS:
        found = reconcile(tmp_path, contract.code, options.days)
        written = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))["counts"].get(contract.code, {})
        assert sum(found.values()) == sum(sum(kinds.values()) for kinds in written.values())


@pytest.mark.parametrize(
    "wrong", [["--last", "2026-11-01"], ["--merchants", "0"], ["--transactions", "3"], ["--last", "2027-11-01"]]
)
def test_nonsense_options_are_refused(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("make_sample_days", "--out", str(tmp_path), *wrong)


class Lines(list):
    """A stream that keeps its lines."""

    def __init__(self, target: list[str]) -> None:
        super().__init__()
        self.target = target

    def write(self, text: str) -> None:
        self.target.extend(text.splitlines())

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is held back."""
