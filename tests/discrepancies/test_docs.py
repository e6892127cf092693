"""The drawing in the documentation is the transition table, and every test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from payops.discrepancies.choices import CASE_TRANSITIONS

ROOT = Path(__file__).resolve().parents[2]


def test_the_drawing_of_a_cases_life_is_the_transition_table():
    text = (ROOT / "docs" / "discrepancies.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", text, re.MULTILINE))
    assert drawn == {(str(source), str(to)) for source, targets in CASE_TRANSITIONS.items() for to in targets}


@pytest.mark.parametrize("page", ["discrepancies", "maker-checker"])
def test_every_guard_names_a_test_that_exists(page):
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")))
    folder = ROOT / "tests" / ("discrepancies" if page == "discrepancies" else "approvals")
    written = "".join(path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    assert named
    assert {name for name in named if f"def {name}(" not in written} == set()
