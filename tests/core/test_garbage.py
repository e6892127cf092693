"""The search for garbage while a run works: short, and whole again afterwards."""

from __future__ import annotations

import gc
import weakref

import pytest

from payops.core.garbage import only_new_garbage


class Ring:
    """An object that holds itself, so that only the search finds it."""

    def __init__(self) -> None:
        self.own = self


def test_garbage_made_in_the_block_is_found_in_it_and_what_was_there_is_not_looked_at() -> None:
    ring = Ring()
    old = weakref.ref(ring)
    with only_new_garbage():
        del ring
        new = weakref.ref(Ring())
        gc.collect()
        assert new() is None
        assert old() is not None
    gc.collect()
    assert old() is None


def test_after_an_error_everything_is_searched_again() -> None:
    with pytest.raises(ZeroDivisionError), only_new_garbage():
        1 // (gc.get_freeze_count() - gc.get_freeze_count())
    assert gc.get_freeze_count() == 0
