"""The domain error: a sentence for the person, a code and facts for machines."""

from __future__ import annotations

import pickle

from django.utils import translation
from django.utils.translation import gettext_lazy

from payops.core.errors import PayopsError


def test_an_error_reads_as_its_sentence_and_carries_code_and_facts() -> None:
    error = PayopsError("bill.wrong_day", "Line 3 is of 2026-11-19", {"line": 3})
    assert str(error) == "Line 3 is of 2026-11-19"
    assert error.as_dict() == {"code": "bill.wrong_day", "message": "Line 3 is of 2026-11-19", "context": {"line": 3}}
    assert "bill.wrong_day" in repr(error)


def test_a_lazy_message_is_read_in_the_language_of_the_reader() -> None:
    error = PayopsError("x", gettext_lazy("January"))
    with translation.override("zh-hans"):
        assert str(error) == "一月"
    with translation.override("en"):
        assert str(error) == "January"


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(PayopsError("x", "y", {"z": 1})))
    assert (error.code, str(error), error.context) == ("x", "y", {"z": 1})


def test_facts_given_are_copied_not_shared() -> None:
    facts = {"a": 1}
    error = PayopsError("x", "y", facts)
    error.context["a"] = 2
    assert facts == {"a": 1}
