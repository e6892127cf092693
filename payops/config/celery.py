"""The Celery application. Without ``CELERY_BROKER_URL`` its messages travel through files under ``var/``.

``JobRun`` rows are the truth about jobs; a message is only a nudge, so there is no result backend and no chord.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

app = Celery("payops")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
