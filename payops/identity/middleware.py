"""Staff who have not shown a second factor get no further than the page that asks for it."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode


class SecondFactorMiddleware:
    """Active when PAYOPS_REQUIRE_SECOND_FACTOR is on; merchants and anonymous visitors pass."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        user = request.user
        needed = (
            settings.PAYOPS_REQUIRE_SECOND_FACTOR
            and user.is_authenticated
            and user.is_staff_member
            and not user.is_verified()
            and not self._is_open(request.path)
        )
        if needed:
            return redirect(f"{reverse('identity:second_factor')}?{urlencode({'next': request.get_full_path()})}")
        return self.get_response(request)

    @staticmethod
    def _is_open(path: str) -> bool:
        return path.startswith((settings.STATIC_URL, "/i18n/")) or path in {
            reverse("identity:second_factor"),
            reverse("identity:second_factor_setup"),
            reverse("logout"),
        }
