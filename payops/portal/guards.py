"""What every page of the portal has in common: read only, its permission, never kept by a shared cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from payops.identity.decorators import View, permission_required
from payops.merchants.selectors import merchant_of_user


def page(code: str) -> Callable[[View], View]:
    """A page merchants with the permission may read; the view is given the user's merchant as ``request.merchant``."""

    def decorate(view: View) -> View:
        @wraps(view)
        def of_merchant(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            merchant = merchant_of_user(request.user)
            if merchant is None:
                raise Http404
            request.merchant = merchant  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)

        return require_safe(never_cache(permission_required(code)(of_merchant)))

    return decorate
