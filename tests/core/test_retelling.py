"""Sentences stored by workers are shown in the reader's language; everything else is shown as it was written."""

from __future__ import annotations

import pytest
from django.utils import translation

from payops.core.retelling import retold

TOLD = [
    ("The other half arrived.", "另一方已到，抹平。"),
    ("Withheld: WECHAT 2026-11-13, ALIPAY 2026-11-13.", "暂缓：WECHAT 2026-11-13, ALIPAY 2026-11-13。"),
    ("No receipt from WECHAT for 2026-11-14: 1,191.62 is due.", "WECHAT 2026-11-14 未到账：应到 1,191.62。"),
    ("Still open after T+2.", "T+2 后仍未结清。"),
]
NESTED = (
    "Part 7 (recon.run) did not succeed: 2026-11-20 is not closed yet, so its own transactions are not complete. "
    "Close the day first."
)


@pytest.mark.parametrize(("english", "chinese"), TOLD)
def test_what_was_written_in_english_is_read_in_chinese(english, chinese):
    with translation.override("zh-hans"):
        assert retold(english) == chinese


@pytest.mark.parametrize(("english", "chinese"), TOLD)
def test_what_was_written_in_chinese_is_read_in_english(english, chinese):
    with translation.override("en"):
        assert retold(chinese) == english


def test_a_reason_within_a_reason_is_told_too():
    with translation.override("zh-hans"):
        told = retold(NESTED)
    assert told == "子任务 7（recon.run）未成功：2026-11-20 尚未关闭，系统侧交易不完整，请先关闭会计日。"
    with translation.override("en"):
        assert retold(told) == NESTED


@pytest.mark.parametrize(
    "text",
    [
        "Called the merchant, they send the slip on Monday.",
        "客户已致电，周一补寄单据。",
        "The payee's account does not exist.",
        "3 days",
        "100 %",
        "",
        "   ",
        "x" * 100_000,
        "%(name)s %s %d %%",
    ],
)
def test_what_is_not_ours_stays_as_it_is(text):
    for language in ("en", "zh-hans"):
        with translation.override(language):
            assert retold(text) == text


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "“x” in 交易金额 (field 7) is not 12 digits."),
        ("zh-hans", "交易金额（第 7 域）的“x”不是 12 位数字。"),
    ],
)
def test_a_channels_own_word_in_a_sentence_is_no_word_of_ours(language, told):
    with translation.override(language):
        assert retold("“x” in 交易金额 (field 7) is not 12 digits.") == told


def test_an_absent_text_is_empty():
    assert retold(None) == ""


def test_values_are_taken_as_they_are():
    """A value that looks like a placeholder, a group or a backslash is only a value."""
    with translation.override("zh-hans"):
        assert retold(r"Withheld: \1 %(x)s (?P<a>).") == r"暂缓：\1 %(x)s (?P<a>)。"
