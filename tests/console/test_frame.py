"""The frame around every page: parts of it are made once for all, and still nobody sees another person's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import get_resolver, resolve, reverse, set_script_prefix
from django.urls.converters import IntConverter

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.console.cells import STAND_INS, link
from payops.console.navigation import ITEMS, NAVIGATION, navigation_for
from payops.identity.models import User
from tests.console.conftest import Books, address

NUMBERED = [
    pattern
    for pattern in get_resolver("payops.console.urls").url_patterns
    if {type(converter) for converter in pattern.pattern.converters.values()} == {IntConverter}
]


def menu(user: Any, name: str = "console:dashboard") -> str:
    """The sidebar's lines as this user gets them on a page."""
    request = RequestFactory().get(reverse(name))
    request.user, request.resolver_match = user, resolve(reverse(name))
    return "".join(group["lines"] for group in navigation_for(request))


@pytest.mark.parametrize("pattern", NUMBERED, ids=lambda pattern: pattern.name)
def test_an_address_with_numbers_is_the_one_django_finds(pattern: Any) -> None:
    numbers = [261120000000000001 + n for n in range(len(pattern.pattern.converters))]
    assert len(numbers) <= len(STAND_INS)
    assert link(pattern.name, *numbers) == reverse(f"console:{pattern.name}", args=numbers)
    assert link(pattern.name, *range(len(numbers))) == reverse(f"console:{pattern.name}", args=range(len(numbers)))


def test_an_address_follows_the_prefix_the_site_is_served_under() -> None:
    here = link("run", 7)
    set_script_prefix("/payops/")
    try:
        assert link("run", 7) == f"/payops{here}"
        assert link("merchant", "M 1") == f"/payops{reverse('console:merchant', args=['M 1'])[7:]}"
    finally:
        set_script_prefix("/")
    assert link("run", 7) == here


def test_every_page_of_the_sidebar_is_there_once() -> None:
    assert len(ITEMS) == sum(len(group.items) for group in NAVIGATION)


def test_a_person_sees_only_what_their_role_opens_whoever_looked_before(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = books.user("alice")
    assert address("audit_list") in menu(alice)
    monkeypatch.setattr("payops.identity.models.permissions_of", lambda *_: frozenset({"dashboard.view"}))
    assert re.findall(r'href="([^"]+)"', menu(alice)) == [address("dashboard")]
    assert menu(User(username="gone", role="operations", is_active=False)) == ""
    monkeypatch.undo()
    assert address("audit_list") in menu(alice)


def test_only_the_page_one_is_on_is_marked(books: Books) -> None:
    alice = books.user("alice")
    marked = [re.findall(r'href="([^"]+)" class="c-active"', menu(alice, f"console:{name}")) for name in ITEMS]
    assert marked == [[address(name)] for name in ITEMS]


def test_the_badge_counts_what_waits_now_and_for_whom(books: Books) -> None:
    def badge(username: str) -> list[str]:
        return re.findall(r'class="c-count">(\d+)<', menu(books.user(username)))

    assert badge("bob") != []
    assert badge("alice") == []
    before = int(badge("bob")[0])
    waiting = ApprovalRequest.objects.filter(status=RequestStatus.PENDING).order_by("pk").first()
    ApprovalRequest.objects.filter(pk=waiting.pk).update(status=RequestStatus.WITHDRAWN)
    assert badge("bob") == ([str(before - 1)] if before > 1 else [])


def test_the_menu_speaks_the_language_of_the_reader(books: Books) -> None:
    client = books.client("alice")
    english, chinese = (
        client.get(address("dashboard"), headers={"accept-language": language}).content.decode()
        for language in ("en", "zh-hans")
    )
    again = client.get(address("dashboard"), headers={"accept-language": "en"}).content.decode()
    assert "Settlement sheets" in english
    assert "Settlement sheets" in again
    assert "Settlement sheets" not in chinese
