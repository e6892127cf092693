"""HTTP for the channels' interfaces: TLS verified, no proxy, no redirect, limits on time and size, nothing logged."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.fetch.checks import LOOPBACK
from payops.channels.fetch.choices import FetchOutcome
from payops.channels.fetch.deliveries import copied
from payops.channels.fetch.errors import FetchError

MAX_ANSWER_BYTES: Final = 1 << 20
USER_AGENT: Final = "payops"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers with lower-case names, and the body, or the start of it where the rest went into a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", into: Path | None = None) -> Answer:
    """One request. With `into`, the body of an answer 200 becomes that file. FetchError 'unreachable' without one."""
    address = urlsplit(url)
    make = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = make(address.hostname or "", address.port, timeout=settings.PAYOPS_FETCH_TIMEOUT_SECONDS)
    try:
        connection.request(method, path_of(address), body or None, {"User-Agent": USER_AGENT, **headers})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        if into is not None and response.status == 200:
            copied(response, into)
            expected = names.get("content-length")
            if expected is not None and expected.isdigit() and int(expected) != into.stat().st_size:
                raise _unreachable(address, _("the answer was cut short"))
            return Answer(response.status, names, b"")
        return Answer(response.status, names, response.read(MAX_ANSWER_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error) or type(error).__name__) from error
    finally:
        connection.close()


def _unreachable(address: SplitResult, reason: str) -> FetchError:
    return FetchError(
        FetchOutcome.UNREACHABLE,
        _("%(host)s does not answer: %(reason)s.") % {"host": address.netloc, "reason": reason},
    )


def path_of(address: SplitResult) -> str:
    """Path and query as they are sent, which is what is signed."""
    path = address.path or "/"
    return f"{path}?{address.query}" if address.query else path


def checked_link(link: object, address: str, domain: str) -> str:
    """A download link that leads where bills lie: below the channel's own domain, or to the very host asked.

    An answer is signed, but a link to anywhere would make this program fetch whatever somebody puts there.
    """
    url = urlsplit(str(link or ""))
    if url.scheme == "http" and (url.hostname or "").endswith(domain):
        url = url._replace(scheme="https")
    home = urlsplit(address)
    same = (url.scheme, url.hostname, url.port) == (home.scheme, home.hostname, home.port)
    nearby = url.scheme == "https" and (url.hostname or "").endswith(domain) and home.hostname not in LOOPBACK
    if not (same or nearby):
        raise FetchError(
            FetchOutcome.REFUSED,
            _("The download link leads to %(host)s, which is not the channel.") % {"host": url.netloc[:100] or "–"},
        )
    return url.geturl()
