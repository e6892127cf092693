"""SFTP: complete files are copied from a server whose key is pinned; nothing is changed there.

What was looked at before is known by name, size and time (`FetchAttempt.remote`), since files stay where they are.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.fetch.checks import name_pattern, secret_of
from payops.channels.fetch.choices import FetchOutcome
from payops.channels.fetch.deliveries import Delivery, copied, day_in_name, day_trouble, unfinished
from payops.channels.fetch.errors import FetchError, NotHandedOverError
from payops.channels.fetch.models import FetchAttempt, FileSource

if TYPE_CHECKING:
    import paramiko

SETTLE_SECONDS: Final = 60
MOST_NAMES: Final = 10_000


class SftpAdapter:
    """Files of a folder on an SFTP server."""

    def __init__(self, source: FileSource) -> None:
        url = urlsplit(source.address)
        self.host, self.port, self.path = url.hostname or "", url.port or 22, unquote(url.path)
        self.source = source
        self.pattern = name_pattern(source)
        self.username = str(source.options["username"])
        self.host_key = str(source.options["host_key"]).split()[:2]
        self.settle_seconds = int(source.options.get("settle_seconds", SETTLE_SECONDS))
        self.offset_days = int(source.options.get("date_offset_days", 0))

    def deliveries(self, day: dt.date | None, folder: Path, today: dt.date) -> Iterator[Delivery]:
        """Complete files that were not looked at before, in the order of their names."""
        with self._client() as client:
            for number, found in enumerate(self._listed(client)):
                of_day = day_in_name(self.pattern, found.filename, self.offset_days)
                remote = f"{found.filename}|{found.st_size}|{found.st_mtime}"
                if of_day is None or not self._is_complete(found) or self._was_seen(remote):
                    continue
                trouble = day_trouble(of_day, today)
                private = folder / f"{number}"
                if not trouble:
                    try:
                        if not self._copy(client, found, private):
                            continue
                    except NotHandedOverError as error:
                        # Its rights may be mended while name, size and time stay: it must not count as seen.
                        trouble, remote = str(error), ""
                    except FetchError as error:
                        trouble = str(error)
                shown_day = of_day if of_day != dt.date.min else day or today - dt.timedelta(days=1)
                yield Delivery(found.filename, private, shown_day, remote=remote, trouble=trouble)

    def _is_complete(self, found: paramiko.SFTPAttributes) -> bool:
        plain = stat.S_ISREG(found.st_mode or stat.S_IFREG) and not unfinished(found.filename)
        return plain and time.time() - (found.st_mtime or 0) >= self.settle_seconds

    def _was_seen(self, remote: str) -> bool:
        former = FetchAttempt.objects.filter(source__contract=self.source.contract_id, source__name=self.source.name)
        return former.filter(remote=remote).exists()

    def _listed(self, client: paramiko.SFTPClient) -> list[paramiko.SFTPAttributes]:
        try:
            listed = client.listdir_attr(self.path)
        except OSError as error:
            raise FetchError(
                FetchOutcome.MISCONFIGURED,
                _("The folder %(folder)s of %(host)s cannot be read: %(reason)s.")
                % {"folder": self.path, "host": self.host, "reason": error.strerror or error},
            ) from error
        return sorted(listed[:MOST_NAMES], key=lambda found: found.filename)

    def _copy(self, client: paramiko.SFTPClient, found: paramiko.SFTPAttributes, private: Path) -> bool:
        """Whether the copy is of a file that did not change while it was read; raises NotHandedOverError."""
        path = f"{self.path.rstrip('/')}/{found.filename}"
        try:
            with client.open(path, "rb") as stream:
                stream.prefetch(found.st_size)
                size = copied(stream, private)
            after = client.stat(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            if not _is_about_the_file(client, error):
                raise
            raise NotHandedOverError(
                FetchOutcome.REFUSED,
                _(
                    "%(host)s does not hand over %(name)s: %(reason)s. "
                    "Ask the channel to make it readable for user %(user)s; it is tried again."
                )
                % {
                    "host": self.host,
                    "name": found.filename,
                    "reason": error.strerror or error,
                    "user": self.username,
                },
            ) from error
        return (after.st_size, after.st_mtime) == (found.st_size, found.st_mtime) and size == found.st_size

    @contextmanager
    def _client(self) -> Iterator[paramiko.SFTPClient]:
        """A connection to the one server that has the pinned key; whoever else answers never sees the password."""
        import paramiko

        timeout = settings.PAYOPS_FETCH_TIMEOUT_SECONDS
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout) as line:
                transport = paramiko.Transport(line)
                try:
                    transport.banner_timeout = transport.auth_timeout = timeout
                    transport.start_client(timeout=timeout)
                    self._check_host_key(transport.get_remote_server_key())
                    self._log_in(transport)
                    client = paramiko.SFTPClient.from_transport(transport)
                    assert client is not None
                    client.get_channel().settimeout(timeout)
                    yield client
                finally:
                    transport.close()
        except paramiko.AuthenticationException as error:
            raise FetchError(
                FetchOutcome.MISCONFIGURED,
                _("%(host)s refuses user %(user)s with this secret.") % {"host": self.host, "user": self.username},
            ) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise FetchError(
                FetchOutcome.UNREACHABLE,
                _("%(host)s does not answer: %(reason)s.") % {"host": f"{self.host}:{self.port}", "reason": error},
            ) from error

    def _check_host_key(self, key: paramiko.PKey) -> None:
        if [key.get_name(), key.get_base64()] != self.host_key:
            fingerprint = base64.b64encode(key.asbytes()[-12:]).decode()
            raise FetchError(
                FetchOutcome.REFUSED,
                _("%(host)s shows another host key (…%(key)s) than the one set up. Nothing was sent to it.")
                % {"host": self.host, "key": fingerprint},
            )

    def _log_in(self, transport: paramiko.Transport) -> None:
        secret = secret_of(self.source)
        if secret.startswith("-----BEGIN"):
            transport.auth_publickey(self.username, login_key(secret))
        else:
            transport.auth_password(self.username, secret)


def _is_about_the_file(client: paramiko.SFTPClient, error: OSError) -> bool:
    """Whether a server that is still there refused; errors of the line and of our own disk are not about the file.

    An SFTP status other than "no such file" and "permission denied" has no error number.
    """
    refused = isinstance(error, PermissionError) or (error.errno is None and not isinstance(error, TimeoutError))
    channel = client.get_channel()
    return refused and not channel.closed and channel.get_transport().is_active()


def login_key(text: str) -> paramiko.PKey:
    """A private key as any tool writes it; paramiko itself reads the OpenSSH form of all kinds."""
    import paramiko

    try:
        load = load_ssh_private_key if "OPENSSH" in text.partition("\n")[0] else load_pem_private_key
        key = load(text.strip().encode() + b"\n", password=None)
        openssh = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            with suppress(paramiko.SSHException, ValueError):
                return kind.from_private_key(io.StringIO(openssh))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Nothing of the key is repeated, not even as the cause: the text may be nearly right.
        pass
    raise FetchError(FetchOutcome.MISCONFIGURED, _("The private key of the SFTP source cannot be read."))
