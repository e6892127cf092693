"""How many examples a costly property is tried with."""

from __future__ import annotations

import os

SHARE = 3
"""A developer's run plays one of so many: it draws others every time, so what one misses the next may find."""


def examples(full: int) -> int:
    """`full` in CI, a third of it elsewhere; PAYOPS_EXAMPLES=10 makes it ten times as many."""
    wanted = full * int(os.environ.get("PAYOPS_EXAMPLES", "1"))
    return wanted if os.environ.get("CI") else max(wanted // SHARE, 1)
