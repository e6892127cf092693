"""A match by hand in a real browser: from the list of open items to the approval, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payops.console.cells import link
from payops.reconciliation.models import MatchGroup
from tests.reconciliation.builders import MON, TUE, Town, build_town, line, live, pay

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def town(transactional_db: None, alice: Any, bob: Any) -> Town:
    """An order of ours, the line it belongs to under a number cut off, and another order of the same amount."""
    made = build_town()
    made.day(MON, [pay("100001", MON), pay("777777", MON, "15:00:00")])
    made.day(TUE, [], [line("R-10000", TUE)])
    return made


@pytest.fixture
def complaints(page: Any) -> list[str]:
    """What the browser complained about."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.fixture
def enter(page: Any, live_server: Any, client_for: Callable[[Any], Any]) -> Callable[[Any, str], None]:
    """``enter(alice, address)``: the page as that person sees it."""

    def show(user: Any, address: str) -> None:
        cookie = client_for(user).cookies["sessionid"].value
        page.context.clear_cookies()
        page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page.goto(f"{live_server.url}{address}")

    return show


def approve(page: Any, enter: Callable[[Any, str], None], bob: Any, address: str) -> None:
    enter(bob, address)
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("is approved and done").wait_for()


def test_a_suggestion_becomes_a_match_and_is_taken_back(
    town: Town,
    page: Any,
    live_server: Any,
    enter: Callable[[Any, str], None],
    complaints: list[str],
    alice: Any,
    bob: Any,
) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    enter(alice, link("open_item_list"))
    page.locator('a[href*="/match/?other="]').first.click()
    page.get_by_text("Difference 0.00").wait_for()
    page.get_by_label("R-777777").check()
    page.locator('[data-sum="difference"]', has_text="100.00").wait_for()
    page.get_by_label("R-777777").uncheck()
    page.get_by_label("Reason").fill("The channel cut the number.")
    page.get_by_role("button", name="Propose").click()
    page.get_by_text("another person decides").wait_for()
    approve(page, enter, bob, page.url.removeprefix(live_server.url))
    assert live() == [("R-777777", "definite", -10_000)]

    enter(alice, link("match_group", MatchGroup.objects.get().pk))
    page.get_by_role("link", name="Take this match back").click()
    page.get_by_label("Reason").fill("Two customers after all.")
    page.get_by_role("button", name="Propose").click()
    page.get_by_text("another person decides").wait_for()
    approve(page, enter, bob, page.url.removeprefix(live_server.url))
    assert len(live()) == 3
    assert complaints == []
