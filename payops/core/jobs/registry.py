"""Which function runs which kind of job.

An app registers its handlers in its `jobs` or `tasks` module; the modules are imported when a kind is first looked
up, so a web process that only queues jobs never loads them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

from django.apps import apps
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
    if kind not in _handlers:
        _import_handlers()
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
    _import_handlers()
    return sorted(_handlers)


@cache
def _import_handlers() -> None:
    for config in apps.get_app_configs():
        if not config.name.startswith("payops."):
            continue
        for module in ("jobs", "tasks"):
            if find_spec(f"{config.name}.{module}"):
                import_module(f"{config.name}.{module}")
