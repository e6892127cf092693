"""Which function runs which kind of job. Filled by `register` when the apps' `jobs` or `tasks` modules are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

Handler: TypeAlias = Callable[..., dict[str, Any] | None]

_handlers: dict[str, Handler] = {}


def register(kind: str) -> Callable[[Handler], Handler]:
    """Decorator: `fn(job, **params)` runs jobs of `kind` ("reconciliation.run"), returning a JSON dict or None.

    A handler is idempotent: it may be killed at any moment and is then started again from its beginning. It runs
    outside a transaction and opens its own.
    """

    def keep(handler: Handler) -> Handler:
        former = _handlers.get(kind)
        if former is not None and (former.__module__, former.__qualname__) != (
            handler.__module__,
            handler.__qualname__,
        ):
            raise ValueError(f"job kind {kind!r} is registered twice: {former!r} and {handler!r}")
        _handlers[kind] = handler
        return handler

    return keep


def handler_of(kind: str) -> Handler:
    """The function of a kind; PayopsError 'jobs.unknown_kind' when nothing is registered."""
    try:
        return _handlers[kind]
    except KeyError:
        raise PayopsError(
            "jobs.unknown_kind",
            _("No job of kind “%(kind)s” is known to this program.") % {"kind": kind},
            {"kind": kind},
        ) from None


def kinds() -> list[str]:
    """All registered kinds, sorted."""
    return sorted(_handlers)
