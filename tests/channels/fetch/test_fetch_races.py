"""Two workers at one source, on real connections: a file is registered and read once, whoever is faster."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.db import connection

from payops.channels.bills.services import PARSE_JOB
from payops.channels.fetch import folder as folder_module
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.models import BillFile
from payops.core.models import JobRun
from tests.channels.fetch.conftest import DAY, at, bill

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_workers_with_the_same_file_register_it_once(
    folder: FileSource, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "wx_20261118.csv").write_bytes(bill())
    both_have_it = threading.Barrier(2, timeout=20)
    copy = folder_module.copied

    def together(stream: BinaryIO, target: Path) -> int:
        size = copy(stream, target)
        both_have_it.wait()
        return size

    def worker(_number: int) -> list[str]:
        try:
            return [each.outcome for each in fetch_run(source=folder, day=DAY, now=at("10:00"))]
        finally:
            connection.close()

    monkeypatch.setattr(folder_module, "copied", together)
    with ThreadPoolExecutor(max_workers=2) as workers:
        outcomes: list[Any] = sorted(workers.map(worker, range(2)))
    assert outcomes == [["known"], ["taken"]]
    assert BillFile.objects.count() == 1
    assert FetchAttempt.objects.count() == 2
    assert JobRun.objects.filter(kind=PARSE_JOB).count() == 1
    assert [path.name for path in (inbox / "taken").iterdir()] == ["wx_20261118.csv"]
