"""Django's PostgreSQL backend on the embedded server.

The server is started by the first connection rather than by the settings, so that a command which needs no database
starts none, and a long-running worker finds it again after the database was killed.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from payops.config.embedded_pg import EmbeddedPostgres


class DatabaseWrapper(base.DatabaseWrapper):
    """The stock wrapper; only a new connection is different."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Make sure the server runs, and follow it to the socket folder it really uses."""
        server = EmbeddedPostgres(settings.PAYOPS_EMBEDDED_PG_DIR, settings.PAYOPS_EMBEDDED_PG_VERSION)
        server.ensure_running()
        return super().get_new_connection({**conn_params, "host": str(server.socket_dir)})
