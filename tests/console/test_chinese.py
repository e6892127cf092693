"""No page of the console says in English what the catalogue says in Chinese."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.utils import translation

from payops.core.retelling import retold
from tests.console.conftest import Books, read_out
from tests.console.test_access import NAMES, reads, url_of
from tests.visible import visible_words

DATA = {"Bank charge", "payops"}
"""The memo of a manual voucher is what its maker wrote, and reads as it was written."""


@pytest.mark.parametrize("name", [name for name in NAMES if reads(name)])
def test_a_chinese_page_says_no_english_sentence(books: Books, name: str):
    client = books.client("bob")
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    response = read_out(client.get(url_of(name)))
    if not response.headers.get("Content-Type", "").startswith("text/html"):
        pytest.skip("a file, not a page")
    words = set(visible_words(response.content_read.decode())) - DATA
    with translation.override("zh-hans"):
        assert {each for each in words if retold(each) != each} == set()
