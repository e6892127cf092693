"""No page of the portal says in English what the catalogue says in Chinese."""

from __future__ import annotations

from django.conf import settings
from django.utils import translation

from payops.core.retelling import retold
from tests.portal.conftest import body
from tests.visible import visible_words

PRODUCT = "payops"


def test_chinese_pages_say_no_english_sentence(client_for, mei, pages):
    client = client_for(mei)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    for name in ("home", "transactions", "transaction", "sheets", "sheet", "item", "statements"):
        words = set(visible_words(body(client.get(pages[name])))) - {PRODUCT}
        with translation.override("zh-hans"):
            assert {each for each in words if retold(each) != each} == set(), name


def test_a_refused_filter_is_explained_in_chinese(client_for, mei, pages):
    client = client_for(mei)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    text = body(client.get("/portal/transactions/", {"first": "2026-11-21", "last": "2026-11-20"}))
    assert "截止日早于起始日。" in text


def test_channels_are_called_by_their_chinese_names(client_for, mei, pages):
    client = client_for(mei)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    assert "微信支付" in body(client.get(pages["transactions"]))
