"""What the console's tests look at: two small sample days, walked once and put back after every test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.test import Client

from payops.identity.models import User
from tests.dayend.days import MON, SMALL, TUE, SampleDays, bank_at

CAST = ("alice", "bob", "carol", "admin")


class Books:
    """The days as they stand: Monday is finished, Tuesday's payouts wait for finance."""

    def __init__(self, days: SampleDays, files: Path) -> None:
        self.days, self.files = days, files

    def client(self, username: str | None) -> Client:
        """A browserless client logged in as that person; None is a stranger."""
        client = Client()
        if username is not None:
            client.force_login(self.user(username), backend="django.contrib.auth.backends.ModelBackend")
        return client

    def user(self, username: str) -> User:
        return User.objects.get(username=username)


@pytest.fixture(scope="package")
def walked(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """The days, walked inside a transaction that is never committed.

    Once for all modules: tests that need a database of their own come after all others, when this one is gone.
    """
    from payops.dayend.sample.generator import generate

    folder = tmp_path_factory.mktemp("console")
    generate(folder / "days", SMALL)
    patch = pytest.MonkeyPatch()
    with django_db_blocker.unblock(), bank_at(folder, MON) as bank, transaction.atomic():
        patch.setattr(django_settings, "BANK_SIMULATOR_URL", bank.url)
        patch.setattr(django_settings, "PAYOPS_FILES_DIR", folder / "files")
        days = SampleDays(folder / "days", bank)
        days.all_of(MON)
        days.finish(MON)
        days.all_of(TUE)
        days.run(TUE)
        # What was walked counts as committed: a test answers for its own changes only.
        connection.check_constraints()
        patch.undo()
        yield Books(days, folder / "files")
        transaction.set_rollback(True)


@pytest.fixture
def books(walked: Books, db: None, settings: Any) -> Books:
    """The walked days; what a test changes is undone after it, as `db` works inside their transaction."""
    settings.PAYOPS_FILES_DIR = walked.files
    return walked


@pytest.fixture
def read(books: Books) -> Callable[..., str]:
    """``read("alice", "run_list", date=MON)``: the page's text, which must be there."""

    def page(username: str, name: str, /, *args: Any, **query: Any) -> str:
        response = books.client(username).get(address(name, *args, **query))
        assert response.status_code == 200, response
        return text_of(response)

    return page


def address(name: str, /, *args: Any, **query: Any) -> str:
    """The address of a console page."""
    from payops.console.cells import link

    return link(name, *args, **{key: _plain(value) for key, value in query.items()})


def text_of(response: Any) -> str:
    """The text of a plain or streamed response."""
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return content.decode("utf-8-sig")


def read_out(response: Any) -> Any:
    """The response with what it streams read into `content_read`, which also closes its file."""
    response.content_read = b"".join(response.streaming_content) if response.streaming else response.content
    return response


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date) else value


__all__ = ["CAST", "MON", "TUE", "Books", "address", "read_out", "text_of"]
