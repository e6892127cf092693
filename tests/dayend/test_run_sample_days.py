"""The whole walk: five days of files in, every planted difference found as what it is, and the same when run again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

pytest.importorskip("payops.dayend.services")

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def place(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for days and bank."""
    settings.PAYOPS_VAR_DIR = tmp_path
    monkeypatch.delenv("BANK_SIMULATOR_URL", raising=False)
    settings.BANK_SIMULATOR_URL = "http://127.0.0.1:9"
    return tmp_path


def walk(**options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command(
        "run_sample_days", merchants=24, transactions=1_200, json=True, stdout=out, stderr=io.StringIO(), **options
    )
    return json.loads(out.getvalue())


def test_every_planted_difference_is_found_and_nothing_else_and_a_second_walk_changes_nothing(place: Path) -> None:
    first = walk()
    assert first["wrong"] == []
    assert len(first["runs"]) == 15
    assert all(day["balanced"] for day in first["days"])
    assert walk() == first


def test_an_answer_that_is_not_true_is_noticed(place: Path) -> None:
    call_command("make_sample_days", out=place / "days", merchants=12, transactions=300, stdout=io.StringIO())
    path = place / "days" / "answers.json"
    answers = json.loads(path.read_text(encoding="utf-8"))
    gone = answers["differences"].pop(0)
    for result in gone["results"]:
        answers["counts"][gone["contract"]][result["channel_date"]][result["kind"]] -= 1
    path.write_text(json.dumps(answers), encoding="utf-8")
    with pytest.raises(CommandError):
        walk(dir=place / "days")
