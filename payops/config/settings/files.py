"""Static files (served by whitenoise), received files and built files."""

from __future__ import annotations

from pathlib import Path

from payops.config.settings.environment import BASE_DIR, IN_PRODUCTION, PAYOPS_VAR_DIR, text

__all__ = ["MEDIA_ROOT", "STATICFILES_DIRS", "STATIC_ROOT", "STATIC_URL", "STORAGES", "WHITENOISE_USE_FINDERS"]

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").is_dir() else []
STATIC_ROOT = text("PAYOPS_STATIC_ROOT", str(PAYOPS_VAR_DIR / "static"))
WHITENOISE_USE_FINDERS = not IN_PRODUCTION
if not IN_PRODUCTION:
    # Nothing is collected here, but whitenoise wants the folder.
    Path(STATIC_ROOT).mkdir(parents=True, exist_ok=True)
# Received and built files are never served by URL; views check rights and stream them.
MEDIA_ROOT = text("PAYOPS_FILES_DIR", str(PAYOPS_VAR_DIR / "files"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if IN_PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
