"""``manage.py db start|stop|status``: the embedded PostgreSQL of this checkout."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from payops.config.embedded_pg import EmbeddedPostgres, EmbeddedPostgresError


class Command(BaseCommand):
    """Start, stop or look at the database that payops brings along."""

    help = "Start, stop or show the embedded PostgreSQL of this checkout."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status"])
        parser.add_argument("--json", action="store_true", help="JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.PAYOPS_EMBEDDED_PG:
            raise CommandError("DATABASE_URL is set, so there is no embedded PostgreSQL to start, stop or show.")
        server = EmbeddedPostgres(settings.PAYOPS_EMBEDDED_PG_DIR, settings.PAYOPS_EMBEDDED_PG_VERSION)
        try:
            if options["action"] == "start":
                server.ensure_running()
            elif options["action"] == "stop":
                server.stop()
            status = server.status()
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(status) if options["json"] else self._sentence(status))

    @staticmethod
    def _sentence(status: dict[str, object]) -> str:
        if not status["running"]:
            return f"PostgreSQL {status['version']} is not running; its data is in {status['data']}."
        return f'PostgreSQL {status["version"]} runs as process {status["pid"]}.\nConnect with: psql "{status["url"]}"'
