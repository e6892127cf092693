"""Rendering inside the shell: what every console page needs, and the two kinds of views (pages and actions)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_safe
from unfold.sites import UnfoldAdminSite

from payops.console.navigation import navigation_for
from payops.core import audit
from payops.core.errors import PayopsError
from payops.identity.decorators import permission_required

NOT_FOUND_SUFFIXES = (".not_found", ".unknown")

site = UnfoldAdminSite(name="console_shell")
"""Only for the shell's colours and settings: payops has no admin site, its pages are views of its own."""


@lru_cache(maxsize=8)
def _head(prefix: str) -> SafeString:
    """Styles, scripts and colours, the same on every page; made once for each prefix the site is served under."""
    context = {"border_radius": settings.UNFOLD["BORDER_RADIUS"], "colors": site._get_colors("COLORS", None)}
    return render_to_string("console/_head.html", context)


def shell_context(request: HttpRequest) -> dict[str, Any]:
    """Head, name and navigation for the frame around a page."""
    return {
        "site_header": settings.UNFOLD["SITE_HEADER"],
        "site_subheader": settings.UNFOLD["SITE_SUBHEADER"],
        "site_symbol": settings.UNFOLD["SITE_SYMBOL"],
        "head": _head(get_script_prefix()),
        "navigation": navigation_for(request),
        "redirect_to": request.get_full_path(),
    }


def page(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, title: Any, status: int = 200
) -> HttpResponse:
    """A page in the shell."""
    return render(request, template, {**shell_context(request), "title": title, **(context or {})}, status=status)


def view(permission: str) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """A page to look at: GET only, behind a permission; what does not exist is 404, a wrong value a sentence."""

    def decorate(function: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(function)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return function(request, *args, **kwargs)
            except PayopsError as error:
                if error.code.endswith(NOT_FOUND_SUFFIXES):
                    raise Http404(str(error)) from error
                return page(request, "console/refused.html", {"error": error}, title=str(error.message), status=400)

        protected = permission_required(permission)(require_safe(guarded))
        protected.methods = ("GET", "HEAD")  # type: ignore[attr-defined]
        return protected

    return decorate


def action(permission: str, *, methods: tuple[str, ...] = ("POST",)) -> Callable[..., Any]:
    """Something to do: POST only, behind a permission; a refusal becomes a message on the page one came from."""

    def decorate(function: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(function)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return function(request, *args, **kwargs)
            except PayopsError as error:
                if error.code.endswith(".not_found"):
                    raise Http404(str(error)) from error
                if error.code.endswith(".not_allowed"):
                    raise PermissionDenied(str(error)) from error
                messages.error(request, str(error))
                return redirect(came_from(request))

        protected = permission_required(permission)(require_http_methods(list(methods))(guarded))
        protected.methods = methods  # type: ignore[attr-defined]
        return protected

    return decorate


def came_from(request: HttpRequest, default: str = "/console/") -> str:
    """The page of ours a form was sent from: its `next`, else the referer, else `default`."""
    for wanted in (request.POST.get("next", ""), request.headers.get("referer", "")):
        if wanted and url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
            return wanted
    return default


def log_download(request: HttpRequest, what: str, object_id: str | int = "", **detail: Any) -> None:
    """Every download leaves a line in the audit log."""
    audit.record(
        username=request.user.get_username(),
        action="console.downloaded",
        object_kind=what,
        object_id=object_id,
        detail=detail,
        ip=request.META.get("REMOTE_ADDR"),
    )
