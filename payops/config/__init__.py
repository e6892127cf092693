"""How payops is put together: settings, URLs, workers and the database that needs no set-up."""

from payops.config.celery import app as celery_app

__all__ = ["celery_app"]
