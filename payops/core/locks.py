"""Advisory locks that end with the transaction, and waiting that ends with an error instead of a hanging page.

A lock is the pair (namespace code, key code), both 32-bit, so triggers written in SQL can take the very same lock:
`pg_advisory_xact_lock_shared(<namespace_code('accounts.day')>, 261120)`. Text keys are hashed; a collision only makes
two callers take turns that need not have.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import OperationalError, connections, transaction
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

_INT4_MAX = 2**31 - 1
LOCK_NOT_AVAILABLE = "55P03"


def _signed_crc(text: str) -> int:
    code = zlib.crc32(text.encode())
    return code - 2**32 if code > _INT4_MAX else code


def namespace_code(namespace: str) -> int:
    """The first half of the lock: a 32-bit code of the namespace, stable for ever."""
    return _signed_crc(namespace)


def key_code(key: str | int) -> int:
    """The second half: a 32-bit integer stands for itself, anything else for its hash."""
    if isinstance(key, int) and -_INT4_MAX <= key <= _INT4_MAX:
        return key
    return _signed_crc(str(key))


def xact_lock(namespace: str, key: str | int, *, shared: bool = False, using: str = "default") -> None:
    """Take the lock, waiting for it, until the transaction ends; outside a transaction it would protect nothing."""
    xact_locks(namespace, [key], shared=shared, using=using)


def xact_locks(namespace: str, keys: Iterable[str | int], *, shared: bool = False, using: str = "default") -> None:
    """Take several locks in the one order every caller uses, so that two callers cannot wait for each other."""
    connection = connections[using]
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("an advisory lock needs a transaction to hold it")
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with _busy_as_domain_error(), connection.cursor() as cursor:
        for code in sorted({key_code(key) for key in keys}):
            cursor.execute(f"SELECT {function}(%s, %s)", [namespace_code(namespace), code])


@contextmanager
def lock_timeout(seconds: float, *, using: str = "default") -> Iterator[None]:
    """Inside the block no lock is waited for longer than `seconds`; then PayopsError 'locks.busy', worth a retry.

    Opens a savepoint, so the caller's transaction survives the time-out, and puts the former limit back.
    """
    with _busy_as_domain_error(), transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        former = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{round(seconds * 1000)}ms"])
        yield
        # Only after success: after an error the savepoint is rolled back, and the setting with it.
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [former])


@contextmanager
def _busy_as_domain_error() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise PayopsError(
            "locks.busy", _("Somebody else is working on the same records. Try again in a moment."), {"retryable": True}
        ) from error
