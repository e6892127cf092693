"""The sample days of these tests: written once, walked by each test in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payops.dayend.sample.generator import generate
from tests.dayend.days import MON, SMALL, SampleDays, bank_at


@pytest.fixture(scope="session")
def small_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monday and Tuesday, twelve merchants."""
    root = tmp_path_factory.mktemp("small-days")
    generate(root, SMALL)
    return root


@pytest.fixture
def days(db: None, small_days: Path, tmp_path: Path, settings: Any) -> Iterator[SampleDays]:
    """Set-up loaded, the bank at work, nothing fed yet."""
    with bank_at(tmp_path / "bank", MON) as bank:
        settings.BANK_SIMULATOR_URL = bank.url
        yield SampleDays(small_days, bank)
