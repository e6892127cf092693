"""Celery. Without ``CELERY_BROKER_URL`` messages are files under ``var/broker``: no server to install."""

from __future__ import annotations

from payops.config.settings.environment import PAYOPS_VAR_DIR, number, text

__all__ = [
    "CELERY_BEAT_SCHEDULE",
    "CELERY_BEAT_SCHEDULER",
    "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP",
    "CELERY_BROKER_TRANSPORT_OPTIONS",
    "CELERY_BROKER_URL",
    "CELERY_TASK_ACKS_LATE",
    "CELERY_TASK_IGNORE_RESULT",
    "CELERY_TASK_REJECT_ON_WORKER_LOST",
    "CELERY_TIMEZONE",
    "CELERY_WORKER_CONCURRENCY",
    "CELERY_WORKER_HIJACK_ROOT_LOGGER",
    "CELERY_WORKER_POOL",
    "CELERY_WORKER_PREFETCH_MULTIPLIER",
    "PAYOPS_DRAIN_SECONDS",
    "PAYOPS_SWEEP_SECONDS",
]

PAYOPS_SWEEP_SECONDS = number("PAYOPS_SWEEP_SECONDS", 30)
PAYOPS_DRAIN_SECONDS = number("PAYOPS_DRAIN_SECONDS", 60)
CELERY_BROKER_URL = text("CELERY_BROKER_URL", "filesystem://localhost")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {}
if CELERY_BROKER_URL.startswith("filesystem:"):
    # One folder for both directions: what is sent in is what the worker reads.
    messages = PAYOPS_VAR_DIR / "broker" / "messages"
    control = PAYOPS_VAR_DIR / "broker" / "control"
    for folder in (messages, control):
        folder.mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "store_processed": False,
    }
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
# A killed worker's message comes back; the claim on the JobRun row drops it when the job was taken already.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_POOL = "prefork"
CELERY_WORKER_CONCURRENCY = number("PAYOPS_WORKERS", 2)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "Asia/Shanghai"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep-jobs": {"task": "payops.core.tasks.sweep_jobs", "schedule": PAYOPS_SWEEP_SECONDS},
    "drain-buffers": {"task": "accounts.drain", "schedule": PAYOPS_DRAIN_SECONDS},
    "poll-payouts": {"task": "payops.settlement.tasks.poll_open_payouts", "schedule": 60},
    "fetch-bills": {"task": "channels.fetch_timetable", "schedule": 60},
    "timetable": {"task": "dayend.timetable", "schedule": 300},
    "remove-old-exports": {"task": "payops.statements.tasks.remove_old_exports", "schedule": 3600},
}
