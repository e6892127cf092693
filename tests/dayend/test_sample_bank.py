"""How the sample days come to a simulated bank: their own, the one asked for, never a stranger's."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payops.core.errors import PayopsError
from payops.dayend.sample.bank import Bank, running_bank
from simulators.bank.server import BankServer
from simulators.bank.store import Store

FRIDAY = dt.date(2026, 11, 13)


@pytest.fixture(autouse=True)
def _no_bank_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANK_SIMULATOR_URL", raising=False)


@pytest.fixture
def other_bank(tmp_path: Path) -> Iterator[str]:
    """A bank that already runs, with a memory in `tmp_path`/other."""
    store = Store(tmp_path / "other" / "bank.sqlite3", FRIDAY)
    server = BankServer(("127.0.0.1", 0), store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
    store.close()


def test_without_a_bank_one_is_started_and_ended(tmp_path: Path, settings: Any) -> None:
    settings.BANK_SIMULATOR_URL = "http://127.0.0.1:9"
    with running_bank(tmp_path / "bank") as bank:
        assert bank.health()["data"] == str(tmp_path / "bank")
        assert bank.url == settings.BANK_SIMULATOR_URL
        bank.move_on(FRIDAY + dt.timedelta(days=3))
    assert settings.BANK_SIMULATOR_URL == "http://127.0.0.1:9"
    assert bank.health() == {}
    with running_bank(tmp_path / "bank") as again:
        assert again.health()["date"] == "2026-11-16"


def test_a_bank_with_the_same_memory_is_used(tmp_path: Path, settings: Any, other_bank: str) -> None:
    settings.BANK_SIMULATOR_URL = other_bank
    with running_bank(tmp_path / "other") as bank:
        assert bank.url == other_bank
    assert bank.health()


def test_a_strangers_bank_on_the_default_port_is_left_alone(tmp_path: Path, settings: Any, other_bank: str) -> None:
    settings.BANK_SIMULATOR_URL = other_bank
    with running_bank(tmp_path / "mine") as bank:
        assert bank.url != other_bank
        bank.reset(FRIDAY + dt.timedelta(days=9))
    assert Bank(other_bank).health()["date"] == FRIDAY.isoformat()


def test_a_bank_asked_for_is_used_whatever_its_memory(
    tmp_path: Path, settings: Any, other_bank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANK_SIMULATOR_URL", other_bank)
    settings.BANK_SIMULATOR_URL = other_bank
    with running_bank(tmp_path / "mine") as bank:
        assert bank.url == other_bank


def test_a_taken_port_is_said_so(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        # Nothing is accepted there: the health question times out at the listener's backlog, so keep it short.
        monkeypatch.setattr("payops.dayend.sample.bank.TIMEOUT_SECONDS", 0.2)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("BANK_SIMULATOR_URL", url)
        settings.BANK_SIMULATOR_URL = url
        with pytest.raises(PayopsError) as refused, running_bank(tmp_path / "mine"):
            pass
    assert refused.value.code == "sample.no_bank"


def test_what_the_bank_refuses_is_said_in_its_words(settings: Any, other_bank: str) -> None:
    with pytest.raises(PayopsError) as refused:
        Bank(other_bank).settle([{"reference": "X"}])
    assert refused.value.code == "sample.bank_refused"
    assert "account_no" in str(refused.value) or "amount" in str(refused.value)
