"""What every view of the API shares: who may call it, and errors as {"error": {code, message, context}}."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from payops.api.authentication import TokenAuthentication
from payops.core.errors import PayopsError


class MayCall(BasePermission):
    """The user holds one of the codes the view names for the method."""

    def has_permission(self, request: Request, view: ApiView) -> bool:
        """Unknown methods are answered by the view itself (405)."""
        user = request.user
        if not user or not user.is_authenticated:
            return False
        codes = view.codes.get(request.method or "")
        return codes is None or any(user.may(code) for code in codes)


class ApiView(APIView):
    """Token or session, permission by role."""

    # The token first: its refusal is a 401 with a challenge, a session's would be a 403.
    authentication_classes: ClassVar = [TokenAuthentication, SessionAuthentication]
    permission_classes: ClassVar = [MayCall]
    codes: ClassVar[dict[str, tuple[str, ...]]] = {}

    def handle_exception(self, exc: Exception) -> Response:
        """Refusals in one shape; whatever is no refusal stays a defect and is logged as such."""
        if isinstance(exc, PayopsError):
            retryable = bool(exc.context.get("retryable"))
            code = status.HTTP_503_SERVICE_UNAVAILABLE if retryable else status.HTTP_422_UNPROCESSABLE_ENTITY
            return Response({"error": exc.as_dict()}, status=code)
        response = super().handle_exception(exc)
        if isinstance(exc, (exceptions.APIException, Http404)):
            response.data = {"error": {"code": _code_of(exc), "message": _message_of(exc), "context": {}}}
        return response


def _code_of(exc: Any) -> str:
    return "api.not_found" if isinstance(exc, Http404) else f"api.{getattr(exc, 'default_code', 'error')}"


def _message_of(exc: Any) -> str:
    if isinstance(exc, Http404):
        return str(exceptions.NotFound.default_detail)
    return str(exc.detail)
