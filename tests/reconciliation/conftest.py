"""The town every test of runs starts in."""

from __future__ import annotations

import pytest

from tests.reconciliation.builders import Town, build_town


@pytest.fixture
def town(db: None) -> Town:
    """Two contracts, two merchants, own cut-off 23:00, Monday open."""
    return build_town()
