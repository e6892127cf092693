"""What the tests of payouts stand on: merchants with money, and a bank of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.settlement import payout_world as w
from tests.settlement.payout_world import SimulatedBank


@pytest.fixture
def world(db: None) -> None:
    w.build()


@pytest.fixture
def bank(world: None, tmp_path: Path) -> Iterator[SimulatedBank]:
    with w.running_bank(tmp_path) as running:
        yield running
