"""SFTP against a server started here: the key is pinned, complete files are taken once, nothing is changed there."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest

from payops.channels.bills.services import bill_parse
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.fetch.sftp import SftpAdapter, login_key
from payops.channels.models import BillFile, ChannelContract
from tests.channels.fetch.conftest import DAY, approved, at, bill, key_pair, unsaved

NOW = at("10:00")
PASSWORD = "a password for bills"


class Door(paramiko.ServerInterface):
    """Lets payops in by password or key, and writes down which passwords it heard."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def check_auth_password(self, username: str, password: str) -> int:
        self.server.heard.append(password)
        known = (username, password) == ("payops", PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "payops" and key == self.server.client_key
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"


class ReadOnly(paramiko.SFTPServerInterface):
    """A folder that can be listed and read."""

    def __init__(self, door: Door, *args: Any, **kwargs: Any) -> None:
        super().__init__(door, *args, **kwargs)
        self.server = door.server
        self.root = door.server.folder

    def _path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def list_folder(self, path: str) -> Any:
        try:
            return [
                paramiko.SFTPAttributes.from_stat(entry.stat(), entry.name) for entry in os.scandir(self._path(path))
            ]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._path(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        if flags & (os.O_WRONLY | os.O_RDWR):
            return paramiko.SFTP_PERMISSION_DENIED
        try:
            if self._path(path).name in self.server.locked:
                return paramiko.SFTP_PERMISSION_DENIED
            handle = Broken(flags) if self._path(path).name in self.server.broken else paramiko.SFTPHandle(flags)
            handle.readfile = self._path(path).open("rb")
            return handle
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)


class Broken(paramiko.SFTPHandle):
    """A file that can be opened and not read, as on a damaged disk."""

    def read(self, offset: int, length: int) -> Any:
        return paramiko.SFTP_FAILURE


class Server:
    """An SFTP server on a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[str] = []
        self.locked: set[str] = set()
        self.broken: set[str] = set()
        self.host_key = login_key((folder.parent / "host.pem").read_text())
        self.client_key = login_key((folder.parent / "client.pem").read_text())
        self.line = socket.create_server(("127.0.0.1", 0))
        self.port = self.line.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self.line.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(self.host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, ReadOnly)
            self.transports.append(transport)
            try:
                transport.start_server(server=Door(self))
            except (paramiko.SSHException, EOFError, OSError):
                continue

    def stop(self) -> None:
        # Closing alone does not wake a thread that waits in accept.
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)
        self.line.close()
        for transport in self.transports:
            transport.close()
        self.thread.join(timeout=5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "host.pem").write_text(key_pair("sftp host")[0])
    (tmp_path / "client.pem").write_text(key_pair("sftp client")[0])
    (tmp_path / "remote" / "out").mkdir(parents=True)
    server = Server(tmp_path / "remote")
    yield server
    server.stop()


def source_of(server: Server, of: ChannelContract, **changes: Any) -> FileSource:
    options = {
        "pattern": r"wx_(?P<date>\d{8})\.csv", "username": "payops", "settle_seconds": 0,
        "host_key": f"{server.host_key.get_name()} {server.host_key.get_base64()}", **changes.pop("options", {}),
    }  # fmt: skip
    fields = {"kind": "sftp", "address": f"sftp://127.0.0.1:{server.port}/out", "secret": PASSWORD, **changes}
    return unsaved(of, options=options, **fields)


@pytest.fixture
def source(server: Server, wechat: ChannelContract, alice: Any, bob: Any) -> FileSource:
    return approved(alice, bob, source_of(server, wechat))


def put(server: Server, name: str = "wx_20261118.csv", content: bytes | None = None) -> Path:
    path = server.folder / "out" / name
    path.write_bytes(bill() if content is None else content)
    os.utime(path, (1_790_000_000, 1_790_000_000))
    return path


def outcomes(source: FileSource) -> list[str]:
    fetch_run(source=source, day=DAY, now=NOW)
    return list(FetchAttempt.objects.order_by("pk").values_list("outcome", flat=True))


def test_a_bill_is_copied_from_the_server_and_stays_there(server: Server, source: FileSource) -> None:
    path = put(server)
    (attempt,) = fetch_run(source=source, day=DAY, now=NOW)
    assert (attempt.outcome, bill_parse(attempt.bill_file_id).state) == ("taken", "accepted")
    assert path.read_bytes() == bill()


def test_what_was_taken_is_not_copied_again(server: Server, source: FileSource) -> None:
    put(server)
    outcomes(source)
    assert outcomes(source) == ["taken", "nothing"]


def test_a_reissue_under_the_same_name_is_taken(server: Server, source: FileSource) -> None:
    put(server)
    outcomes(source)
    put(server, content=bill(rows=3))
    assert outcomes(source) == ["taken", "taken"]
    assert list(BillFile.objects.order_by("version").values_list("version", flat=True)) == [1, 2]


@pytest.mark.parametrize("name", ["wx_20261118.csv.part", ".wx_20261118.csv", "other.csv"])
def test_unfinished_and_foreign_names_are_left_alone(server: Server, source: FileSource, name: str) -> None:
    put(server, name)
    assert outcomes(source) == ["nothing"]


def test_a_file_of_a_moment_ago_is_left_for_the_next_try(
    server: Server, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    source = approved(alice, bob, source_of(server, wechat, options={"settle_seconds": 60}))
    os.utime(put(server))
    assert outcomes(source) == ["nothing"]


def test_a_server_with_another_key_never_hears_the_password(
    server: Server, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    other = server.client_key
    pinned = {"host_key": f"{other.get_name()} {other.get_base64()}"}
    source = approved(alice, bob, source_of(server, wechat, options=pinned))
    put(server)
    assert (outcomes(source), server.heard) == (["refused"], [])


def test_a_wrong_password_is_a_matter_of_the_set_up(
    server: Server, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    source = approved(alice, bob, source_of(server, wechat, secret="another word"))
    (attempt,) = fetch_run(source=source, day=DAY, now=NOW)
    assert attempt.outcome == "misconfigured"
    assert "another word" not in attempt.message


def test_a_private_key_opens_the_door_as_well(server: Server, wechat: ChannelContract, alice: Any, bob: Any) -> None:
    put(server)
    source = approved(alice, bob, source_of(server, wechat, secret=(server.folder.parent / "client.pem").read_text()))
    assert (outcomes(source), server.heard) == (["taken"], [])


def test_a_folder_that_is_not_there_is_a_matter_of_the_set_up(
    server: Server, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    source = approved(alice, bob, source_of(server, wechat, address=f"sftp://127.0.0.1:{server.port}/gone"))
    assert outcomes(source) == ["misconfigured"]


def test_a_server_that_is_down_is_unreachable(server: Server, source: FileSource) -> None:
    server.stop()
    assert outcomes(source) == ["unreachable"]


@pytest.mark.parametrize("fault", ["locked", "broken"])
def test_a_file_the_server_refuses_holds_up_no_other_and_is_named(
    server: Server, source: FileSource, fault: str
) -> None:
    put(server, "wx_20261117.csv")
    put(server)
    getattr(server, fault).add("wx_20261117.csv")
    refused, taken = fetch_run(source=source, day=DAY, now=NOW)
    assert (refused.outcome, refused.file_name, str(refused.channel_date)) == (
        "refused",
        "wx_20261117.csv",
        "2026-11-17",
    )
    assert "wx_20261117.csv" in refused.message
    assert "payops" in refused.message
    assert (taken.outcome, taken.file_name) == ("taken", "wx_20261118.csv")


@pytest.mark.parametrize("fault", ["locked", "broken"])
def test_a_file_the_server_refused_is_asked_for_again(server: Server, source: FileSource, fault: str) -> None:
    put(server)
    getattr(server, fault).add("wx_20261118.csv")
    assert outcomes(source) == ["refused"]
    getattr(server, fault).clear()
    assert outcomes(source) == ["refused", "taken"]


def test_a_server_that_hangs_up_midway_is_unreachable_and_no_file_is_blamed(
    server: Server, source: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server)

    def hang_up(_handle: paramiko.SFTPHandle, _offset: int, _length: int) -> int:
        server.stop()
        return paramiko.SFTP_FAILURE

    monkeypatch.setattr(Broken, "read", hang_up)
    server.broken.add("wx_20261118.csv")
    (attempt,) = fetch_run(source=source, day=DAY, now=NOW)
    assert (attempt.outcome, attempt.file_name) == ("unreachable", "")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../private/wx_20261118.csv", stat.S_IFREG),
        ("/etc/wx_20261118.csv", stat.S_IFREG),
        ("..\\wx_20261118.csv", stat.S_IFREG),
        ("wx_20261118.csv", stat.S_IFLNK),
        ("wx_20261118.csv", stat.S_IFDIR),
        ("wx_20261118.csv", stat.S_IFIFO),
    ],
)
def test_a_name_that_leads_elsewhere_is_never_opened(
    server: Server, wechat: ChannelContract, alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch, name: str, mode: int
) -> None:
    """Even where the pattern is wide enough for it."""
    options = {**source_of(server, wechat).options, "pattern": r".*(?P<date>\d{8})\.csv"}
    source = approved(alice, bob, source_of(server, wechat, options=options))
    found = paramiko.SFTPAttributes()
    found.filename, found.st_mode, found.st_size, found.st_mtime = name, mode | 0o644, 10, 0
    opened: list[str] = []
    monkeypatch.setattr(SftpAdapter, "_listed", lambda _adapter, _client: [found])
    monkeypatch.setattr(SftpAdapter, "_copy", lambda _adapter, _client, each, _private: opened.append(each.filename))
    fetch_run(source=source, day=DAY, now=NOW)
    assert (opened, BillFile.objects.count()) == ([], 0)
