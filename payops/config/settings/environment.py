"""Where we are, which environment this is, and how settings are read from it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

__all__ = ["BASE_DIR", "DEBUG", "IN_PRODUCTION", "PAYOPS_ENV", "PAYOPS_VAR_DIR", "SITE_ID"]

BASE_DIR = Path(__file__).resolve().parents[3]
ENVIRONMENTS = ("development", "test", "production")
YES = {"1", "true", "yes", "on"}
NO = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """The variable, with an empty one meaning absent."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    """A yes or a no; anything else is a typing mistake worth stopping for."""
    value = os.environ.get(name)
    if value is None:
        return default
    word = value.strip().lower()
    if word not in YES | NO:
        raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0.")
    return word in YES


def number(name: str, default: int) -> int:
    value = text(name, str(default))
    if not value.isdigit():
        raise ImproperlyConfigured(f"{name} is {value!r}; write a whole number.")
    return int(value)


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list."""
    value = text(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else list(default)


def required_in_production(name: str, purpose: str, fallback: Callable[[], str]) -> str:
    """The variable; in production it must be given, elsewhere ``fallback`` supplies it."""
    value = text(name)
    if value:
        return value
    if IN_PRODUCTION:
        raise ImproperlyConfigured(f"{name} is not set. Production needs it: {purpose}.")
    return fallback()


def local_secret(name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
    """A secret of this checkout, made once under ``var/secrets`` and readable by its owner only."""
    path = PAYOPS_VAR_DIR / "secrets" / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked: of two processes that start together, one secret wins and both read it whole.
    draft = path.with_name(f"{name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(make())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


PAYOPS_ENV = text("PAYOPS_ENV", "development")
if PAYOPS_ENV not in ENVIRONMENTS:
    raise ImproperlyConfigured(f"PAYOPS_ENV is {PAYOPS_ENV!r}; it must be one of {', '.join(ENVIRONMENTS)}.")
IN_PRODUCTION = PAYOPS_ENV == "production"
PAYOPS_VAR_DIR = Path(text("PAYOPS_VAR_DIR", str(BASE_DIR / "var"))).resolve()
DEBUG = flag("PAYOPS_DEBUG", default=False)
if DEBUG and IN_PRODUCTION:
    raise ImproperlyConfigured("PAYOPS_DEBUG is on in production; error pages would show data. Switch it off.")
SITE_ID = 1
