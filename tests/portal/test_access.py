"""Every page of the portal for everybody: its merchant, another merchant, staff, a stranger; and only for reading."""

from __future__ import annotations

import re

import pytest

from payops.identity.services import user_create
from payops.merchants.models import Merchant
from tests.portal.conftest import body

pytestmark = pytest.mark.django_db

PAGES = ("home", "transactions", "export", "transaction", "sheets", "sheet", "item", "statements", "statement")
HTML = tuple(name for name in PAGES if name not in ("export", "statement"))
OWN_OBJECTS = ("transaction", "sheet", "item", "statement")
# Whole words: a form's random token may hold the letters.
M_A_MARKS = re.compile(r"(?<![\w-])(T1|M-A)(?![\w-])")


def answers(client, pages, names=PAGES) -> dict[str, int]:
    """The status of each page."""
    found = {}
    for name in names:
        response = client.get(pages[name])
        body(response)
        found[name] = response.status_code
    return found


def test_mei_reads_her_pages(client_for, mei, pages):
    assert answers(client_for(mei), pages) == dict.fromkeys(PAGES, 200)


def test_omar_does_not_find_what_is_meis(client_for, omar, pages):
    assert answers(client_for(omar), pages, OWN_OBJECTS) == dict.fromkeys(OWN_OBJECTS, 404)


def test_omars_lists_show_nothing_of_meis(client_for, omar, pages):
    for name in set(PAGES) - set(OWN_OBJECTS):
        text = body(client_for(omar).get(pages[name]))
        assert not M_A_MARKS.search(text), name


@pytest.mark.parametrize("who", ["alice", "bob", "carol", "dave"])
def test_staff_find_no_portal(client_for, request, pages, who):
    assert answers(client_for(request.getfixturevalue(who)), pages) == dict.fromkeys(PAGES, 404)


def test_a_stranger_is_asked_to_log_in(client_for, pages):
    for name in PAGES:
        response = client_for(None).get(pages[name])
        assert response.status_code == 302
        assert response.url.startswith("/accounts/login/?next=/portal/")


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_pages_are_only_read(client_for, mei, pages, method):
    client = client_for(mei)
    assert [getattr(client, method)(pages[name]).status_code for name in PAGES] == [405] * len(PAGES)


@pytest.mark.parametrize("role", ["maker", "checker", "viewer"])
def test_everybody_in_a_merchants_team_may_read(client_for, pages, role):
    user = user_create(username=role, password=None, role="merchant", merchant_no="M-A", merchant_role=role)
    assert answers(client_for(user), pages) == dict.fromkeys(PAGES, 200)


def test_a_user_whose_merchant_does_not_exist_finds_nothing(client_for, pages):
    user = user_create(username="nobody", password=None, role="merchant", merchant_no="M-NONE")
    assert client_for(user).get(pages["home"]).status_code == 404


def test_pages_allow_no_script_and_no_inline_style(client_for, mei, pages):
    for name in HTML:
        response = client_for(mei).get(pages[name])
        assert b"<script" not in response.content
        assert b"style=" not in response.content
        assert "unsafe" not in response["Content-Security-Policy"]


def test_no_shared_cache_keeps_a_page(client_for, mei, pages):
    for name in PAGES:
        response = client_for(mei).get(pages[name])
        body(response)
        assert "private" in response["Cache-Control"], name


def test_pages_speak_chinese(client_for, mei, pages):
    for name in HTML:
        response = client_for(mei).get(pages[name], headers={"accept-language": "zh-hans"})
        assert 'lang="zh-hans"' in response.content.decode(), name


MOST_QUERIES = {"home": 18, "transactions": 9, "sheets": 9, "sheet": 14, "item": 14, "statements": 9}


def test_a_page_takes_a_fixed_number_of_queries(client_for, mei, pages, django_assert_max_num_queries):
    client = client_for(mei)
    for name, most in MOST_QUERIES.items():
        with django_assert_max_num_queries(most):
            client.get(pages[name])


def test_a_merchants_name_cannot_bring_markup(client_for, mei, pages):
    Merchant.objects.filter(merchant_no="M-A").update(name="<script>alert(1)</script>")
    assert b"<script>" not in client_for(mei).get(pages["home"]).content
