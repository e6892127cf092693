"""Static files (served by whitenoise), received files, built files and the archive."""

from __future__ import annotations

from pathlib import Path

from payops.config.settings.environment import BASE_DIR, IN_PRODUCTION, PAYOPS_VAR_DIR, number, text

__all__ = [
    "MEDIA_ROOT",
    "PAYOPS_ARCHIVE_AFTER_DAYS",
    "PAYOPS_ARCHIVE_DIR",
    "STATICFILES_DIRS",
    "STATIC_ROOT",
    "STATIC_URL",
    "STORAGES",
    "WHITENOISE_USE_FINDERS",
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").is_dir() else []
STATIC_ROOT = text("PAYOPS_STATIC_ROOT", str(PAYOPS_VAR_DIR / "static"))
WHITENOISE_USE_FINDERS = not IN_PRODUCTION
if not IN_PRODUCTION:
    # Nothing is collected here, but whitenoise wants the folder.
    Path(STATIC_ROOT).mkdir(parents=True, exist_ok=True)
# Received and built files are never served by URL; views check rights and stream them.
MEDIA_ROOT = text("PAYOPS_FILES_DIR", str(PAYOPS_VAR_DIR / "files"))
# Evidence like the files received: kept apart, so that it can lie on slower and safer disks.
PAYOPS_ARCHIVE_DIR = Path(text("PAYOPS_ARCHIVE_DIR", str(PAYOPS_VAR_DIR / "archive")))
PAYOPS_ARCHIVE_AFTER_DAYS = number("PAYOPS_ARCHIVE_AFTER_DAYS", 400)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if IN_PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
