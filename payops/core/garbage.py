"""Python's search for unreachable objects, kept short where it costs more than it finds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Search among the objects made in the block only.

    What a worker has loaded, hundreds of thousands of objects, stays anyway; looking through them takes a tenth of a
    second each time. Afterwards everything is searched again, what was left over here too.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def no_garbage_search() -> Iterator[None]:
    """Search for nothing in the block: for hundreds of thousands of small objects, none of them in a cycle.

    Looking for one costs a bulk load a third of its own time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
