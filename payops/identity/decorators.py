"""Guards of views: who is not logged in goes to the login page, the wrong side gets 404, lacking rights get 403."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from payops.identity.roles import ALL_CODES, is_portal_code

View = Callable[..., HttpResponseBase]


def permission_required(code: str) -> Callable[[View], View]:
    """Let in who holds the permission. The code says the side: ``portal.*`` merchants, everything else staff."""
    if code not in ALL_CODES:
        raise KeyError(f"Unknown permission {code!r}; the map stands in payops.identity.roles.")

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            refused = _refuse_strangers(request, portal=is_portal_code(code))
            if refused is not None:
                return refused
            if not request.user.may(code):
                raise PermissionDenied(_("Your role does not allow this."))
            return view(request, *args, **kwargs)

        guarded.permission_code = code  # type: ignore[attr-defined]
        return guarded

    return decorate


def staff_required(view: View) -> View:
    """Let in any staff member."""
    return _side_required(view, portal=False)


def merchant_required(view: View) -> View:
    """Let in any merchant's user."""
    return _side_required(view, portal=True)


def _side_required(view: View, *, portal: bool) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        refused = _refuse_strangers(request, portal=portal)
        return refused if refused is not None else view(request, *args, **kwargs)

    return guarded


def _refuse_strangers(request: HttpRequest, *, portal: bool) -> HttpResponseBase | None:
    """A merchant must not even learn which console pages exist, nor staff wander in a merchant's portal."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if request.user.is_merchant != portal:
        raise Http404
    return None
