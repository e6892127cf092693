"""`Authorization: Bearer payops_…`: a machine speaking for a user."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from payops.api.models import ApiToken
from payops.api.services import PREFIX, digest_of

KEYWORD = b"bearer"


class TokenAuthentication(BaseAuthentication):
    """The token's user, when token and user are in force; says nothing about which of both is not."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """None without the header, so that a session may answer."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != KEYWORD:
            return None
        try:
            token = parts[1].decode("ascii") if len(parts) == 2 else ""
        except UnicodeDecodeError:
            token = ""
        row = None
        if token.startswith(PREFIX):
            row = (
                ApiToken.objects.select_related("user")
                .filter(digest=digest_of(token), revoked_at__isnull=True, user__is_active=True)
                .first()
            )
        if row is None:
            raise AuthenticationFailed(_("This token is not valid."))
        return row.user, row

    def authenticate_header(self, request: Request) -> str:
        """Makes the refusal a 401."""
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI description shows it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer"}
