"""The database: the embedded PostgreSQL, or the one named by ``DATABASE_URL``; optionally a replica for reading."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from payops.config.embedded_pg import DATABASE, PORT, SUPERUSER, EmbeddedPostgres, EmbeddedPostgresError
from payops.config.settings.environment import IN_PRODUCTION, PAYOPS_VAR_DIR, number, text

__all__ = ["DATABASES", "PAYOPS_EMBEDDED_PG", "PAYOPS_EMBEDDED_PG_DIR", "PAYOPS_EMBEDDED_PG_VERSION"]

PAYOPS_EMBEDDED_PG = not text("DATABASE_URL")
PAYOPS_EMBEDDED_PG_DIR = PAYOPS_VAR_DIR / "pg"
PAYOPS_EMBEDDED_PG_VERSION = number("PAYOPS_PG_VERSION", 18)

# Two test runs on one server must not destroy each other's database.
TEST = {"NAME": f"test_payops_{os.getpid()}"}
COMMON = {
    "ATOMIC_REQUESTS": False,
    "CONN_MAX_AGE": number("PAYOPS_CONN_MAX_AGE", 60),
    "CONN_HEALTH_CHECKS": True,
    "TEST": TEST,
}


def parse_database_url(name: str, url: str) -> dict[str, Any]:
    """``postgresql://user:password@host:port/name?sslmode=require`` as Django wants it."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ImproperlyConfigured(f"{name} must look like postgresql://user:password@host:5432/name.")
    options = dict(parse_qsl(parts.query))
    return {
        **COMMON,
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", unquote(parts.hostname or "")),
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


def embedded_database() -> dict[str, Any]:
    """The embedded server; it is started by the first connection, see ``payops.config.postgresql``."""
    if IN_PRODUCTION:
        raise ImproperlyConfigured(
            "DATABASE_URL is not set. Production needs it; the embedded PostgreSQL is for development."
        )
    try:
        host = str(EmbeddedPostgres(PAYOPS_EMBEDDED_PG_DIR, PAYOPS_EMBEDDED_PG_VERSION).socket_dir)
    except EmbeddedPostgresError as error:
        raise ImproperlyConfigured(str(error)) from error
    return {
        **COMMON,
        "ENGINE": "payops.config.postgresql",
        "NAME": DATABASE,
        "USER": SUPERUSER,
        "PASSWORD": "",
        "HOST": host,
        "PORT": str(PORT),
    }


DATABASES = {
    "default": embedded_database() if PAYOPS_EMBEDDED_PG else parse_database_url("DATABASE_URL", text("DATABASE_URL"))
}
if text("DATABASE_REPLICA_URL") and "pytest" not in sys.modules:
    DATABASES["replica"] = {
        **parse_database_url("DATABASE_REPLICA_URL", text("DATABASE_REPLICA_URL")),
        "TEST": {"MIRROR": "default"},
    }
