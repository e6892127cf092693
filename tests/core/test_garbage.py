"""The search for garbage while a run works: short, and whole again afterwards."""

from __future__ import annotations

import gc
import weakref

import pytest

from payops.core.garbage import no_garbage_search, only_new_garbage


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


@pytest.mark.parametrize("enabled", [True, False])
def test_the_search_is_as_it_was_after_a_block_without_it(enabled: bool) -> None:
    if not enabled:
        gc.disable()
    try:
        with no_garbage_search():
            assert not gc.isenabled()
        with pytest.raises(ZeroDivisionError), no_garbage_search():
            1 // (gc.get_freeze_count() - gc.get_freeze_count())
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
