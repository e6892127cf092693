"""`manage.py api_token issue USER NAME` and `api_token revoke ID`: keys for machines."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payops.api.services import token_issue, token_revoke
from payops.identity.models import User


class Command(BaseCommand):
    """The token is printed once and kept nowhere."""

    help = "Issue or revoke a token of the API."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do and for whom."""
        actions = parser.add_subparsers(dest="action", required=True)
        issue = actions.add_parser("issue")
        issue.add_argument("user")
        issue.add_argument("name")
        revoke = actions.add_parser("revoke")
        revoke.add_argument("id", type=int)
        for action in (issue, revoke):
            action.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Result on standard output."""
        if options["action"] == "revoke":
            done = token_revoke(token_id=options["id"], revoked_by="command")
            if not done:
                raise CommandError(f"Token {options['id']} does not exist or is revoked already.")
            result: dict[str, Any] = {"revoked": options["id"]}
        else:
            user = User.objects.filter(username=options["user"]).first()
            if user is None:
                raise CommandError(f"User {options['user']} does not exist.")
            result = {"token": token_issue(user=user, name=options["name"], issued_by="command")}
        self.stdout.write(json.dumps(result) if options["json"] else " ".join(map(str, result.values())))
