"""Which Content-Security-Policy a page gets: the strict one, or the console shell's."""

from __future__ import annotations

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

CONSOLE_PREFIX = "/console/"


class ContentSecurityMiddleware(CSPMiddleware):
    """django-csp with one exception by path; a view's own decorator still wins."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path.startswith(CONSOLE_PREFIX) and not hasattr(response, "_csp_replace"):
            response._csp_replace = settings.PAYOPS_CONSOLE_SECURITY_POLICY
        return super().process_response(request, response)
