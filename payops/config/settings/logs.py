"""Structured logs on standard error, so that ``--json`` commands own standard output."""

from __future__ import annotations

import logging

import structlog

from payops.config.settings.environment import IN_PRODUCTION, text

__all__ = ["DJANGO_STRUCTLOG_CELERY_ENABLED", "LOGGING"]

DJANGO_STRUCTLOG_CELERY_ENABLED = False
LEVEL = text("PAYOPS_LOG_LEVEL", "INFO").upper()
SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
RENDERER = (
    structlog.processors.JSONRenderer(ensure_ascii=False)
    if IN_PRODUCTION
    else structlog.dev.ConsoleRenderer(colors=False)
)

structlog.configure(
    processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": SHARED,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if IN_PRODUCTION else []),
                RENDERER,
            ],
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": LEVEL if LEVEL in logging.getLevelNamesMapping() else "INFO"},
    "loggers": {
        "axes": {"level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "django_structlog": {"level": "WARNING" if not IN_PRODUCTION else "INFO"},
        "kombu": {"level": "WARNING"},
    },
}
