"""What a file source must be before it is proposed: whatever could never work is refused while it is filled in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.fetch.choices import SourceKind
from payops.channels.fetch.keys import check_private_key, check_public_key
from payops.channels.fetch.models import FileSource
from payops.core.errors import PayopsError

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
WECHAT_BILLS: Final = ("trade", "fundflow")
ALIPAY_BILLS: Final = ("trade", "signcustomer")


def refusal(field: str, message: str) -> PayopsError:
    """An error that names the field it is about."""
    return PayopsError(f"fetch.bad_{field}", message, {"field": field})


def source_check(source: FileSource) -> None:
    """PayopsError 'fetch.bad_…' for a source that could never deliver, or that reaches where it must not."""
    if source.deadline < source.first_try:
        raise refusal("deadline", _("The deadline is before the first try."))
    if source.empty_after is not None:
        if source.bill_type != "trade":
            raise refusal("empty_after", _("Only a bill of trades can stand for an empty day."))
        if source.empty_after < source.first_try:
            raise refusal("empty_after", _("A day counts as empty after the first try, not before it."))
    if not 1 <= source.every_minutes <= 720:
        raise refusal("every_minutes", _("Try every 1 to 720 minutes."))
    if source.secret and source.secret_file:
        raise refusal("secret_file", _("Give the secret itself or a file that holds it, not both."))
    if source.secret_file:
        below(Path(settings.PAYOPS_SECRETS_DIR), source.secret_file, "secret_file")
    _CHECKS[SourceKind(source.kind)](source)


def below(root: Path, name: str, field: str) -> Path:
    """`name` as a path below `root`; anything that leads out of it is refused."""
    path = (root / name).resolve()
    if not name or Path(name).is_absolute() or not path.is_relative_to(root.resolve()) or path == root.resolve():
        raise refusal(
            field, _("“%(name)s” must be the name of something below %(root)s.") % {"name": name, "root": root}
        )
    return path


def name_pattern(source: FileSource) -> re.Pattern[str]:
    """The pattern of file names, which finds the channel day as `date`: YYYYMMDD or YYYY-MM-DD."""
    text = str(source.options.get("pattern", ""))
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise refusal("pattern", _("The file name pattern cannot be read: %(error)s.") % {"error": error}) from error
    if "date" not in pattern.groupindex:
        raise refusal("pattern", _("The file name pattern needs the group (?P<date>…) that finds the channel day."))
    return pattern


def _check_folder(source: FileSource) -> None:
    below(Path(settings.PAYOPS_INBOX_DIR), source.address, "address")
    name_pattern(source)


def _check_sftp(source: FileSource) -> None:
    url = urlsplit(source.address)
    if url.scheme != "sftp" or not url.hostname or url.username or url.password or not url.path.strip("/"):
        raise refusal("address", _("Write the address as sftp://host:port/folder, without user and password."))
    name_pattern(source)
    needed(source, "username", _("Name the user."))
    key = str(source.options.get("host_key", "")).split()
    if len(key) < 2 or not key[0].startswith(("ssh-", "ecdsa-")):
        raise refusal("host_key", _("Give the server's host key as in known_hosts: ssh-ed25519 AAAA…"))
    _needs_secret(source)


def _check_wechat(source: FileSource) -> None:
    _check_web(source)
    for name in ("mchid", "serial_no", "platform_serial"):
        needed(source, name, _("Fill this in; it stands in WeChat Pay's merchant platform."))
    _choice(source, "bill", WECHAT_BILLS)
    _check_keys(source, "platform_key")


def _check_alipay(source: FileSource) -> None:
    _check_web(source)
    needed(source, "app_id", _("Fill this in; it stands in Alipay's open platform."))
    _choice(source, "bill", ALIPAY_BILLS)
    _check_keys(source, "alipay_key")


def _check_web(source: FileSource) -> None:
    url = urlsplit(source.address)
    plain_at_home = url.scheme == "http" and url.hostname in LOOPBACK
    if not url.hostname or url.username or not (url.scheme == "https" or plain_at_home):
        raise refusal("address", _("Write the address as https://host."))


def _check_keys(source: FileSource, public: str) -> None:
    _needs_secret(source)
    check_public_key(str(source.options.get(public, "")), public)
    if source.secret:
        check_private_key(source.secret)


def needed(source: FileSource, name: str, message: str) -> str:
    """The setting, which must be there."""
    value = str(source.options.get(name, "")).strip()
    if not value or not value.isprintable() or '"' in value:
        raise refusal(name, message)
    return value


def _choice(source: FileSource, name: str, values: tuple[str, ...]) -> None:
    if source.options.get(name) not in values:
        raise refusal(name, _("Use one of: %(known)s.") % {"known": ", ".join(values)})


def _needs_secret(source: FileSource) -> None:
    if not source.secret and not source.secret_file:
        raise refusal("secret", _("The key or password is missing."))


_CHECKS: Final[dict[SourceKind, Callable[[FileSource], None]]] = {
    SourceKind.FOLDER: _check_folder,
    SourceKind.SFTP: _check_sftp,
    SourceKind.WECHAT: _check_wechat,
    SourceKind.ALIPAY: _check_alipay,
}


def secret_of(source: FileSource) -> str:
    """The private key or password, from the row or from the file it names; never logged."""
    if not source.secret_file:
        return source.secret
    path = below(Path(settings.PAYOPS_SECRETS_DIR), source.secret_file, "secret_file")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise refusal("secret_file", _("The file of the secret, “%s”, cannot be read.") % source.secret_file) from error


def plain_options(source: FileSource) -> dict[str, Any]:
    """The settings as they are; none of them is secret."""
    return dict(source.options)
