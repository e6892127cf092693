"""The machine below the embedded PostgreSQL: accounts and what they may enter, folders, memory, processes.

Knows nothing of the server itself; `embedded_pg` decides with it where and as whom the server runs.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The operating system account the server runs as."""

    uid: int
    gid: int


def choose_account(home: Path) -> Account:
    """Ourselves; as root the owner of existing data, else the owner of the checkout, else nobody."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for path in (home, *home.parents):
        if path.exists():
            owner = path.stat().st_uid
            if owner != 0 and _has_name(owner):
                return Account(owner, pwd.getpwuid(owner).pw_gid)
            if path.parent == path or (path / "manage.py").exists():
                break
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def process_options(account: Account) -> dict[str, object]:
    """Environment and identity of a child: no PG* variables, a folder everybody may enter, never root."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    options: dict[str, object] = {"cwd": "/", "env": {**environment, "LC_ALL": "C"}, "umask": 0o077}
    if os.geteuid() == 0:
        options.update(user=account.uid, group=account.gid, extra_groups=[])
    return options


def is_reachable(account: Account, *, folder: Path, install: Path | None = None) -> bool:
    """Whether the account can enter the folder and read the binaries; asked of the kernel, in a child."""
    script = (
        'cd "$1" && { [ -z "$2" ] || { "$2/bin/postgres" --version && [ -r "$2/share/postgresql/postgres.bki" ]; }; }'
    )
    asked = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(folder), str(install or "")],
        capture_output=True,
        check=False,
        **process_options(account),
    )
    return asked.returncode == 0


def open_to_readers(*folders: Path) -> None:
    """Readable by everybody inside the server's own private folder, whatever the umask was."""
    for folder in folders:
        for parent, _subfolders, files in os.walk(folder):
            os.chmod(parent, 0o755)  # noqa: S103 -- public binaries, in a private folder
            for name in files:
                path = os.path.join(parent, name)
                if not os.path.islink(path):
                    os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)


def make_private(folder: Path, account: Account) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        if os.geteuid() == 0:
            os.chown(folder, account.uid, account.gid)
    check_private(folder, account)


def check_private(folder: Path, account: Account) -> None:
    """The temporary directory is everybody's: another's folder, a link or an open mode is an attack or an accident."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedPostgresError(
            f"{folder} must be a folder of uid {account.uid} with mode 0700; it is not. Remove it and start again."
        )


def dynamic_shared_memory() -> str:
    """Small containers give /dev/shm 64 MB, too little for a parallel hash join: use files there instead."""
    try:
        space = os.statvfs("/dev/shm")  # noqa: S108 -- only measured
    except OSError:
        return "mmap"
    return "posix" if space.f_bavail * space.f_frsize >= 512 * 1024 * 1024 else "mmap"


def shared_buffers_mb() -> int:
    """A twelfth of the memory there is, of the container where one limits it; at least 256 MB, at most 2 GB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such file, or "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(256, min(2048, (memory >> 20) // 12))


def processes_without_proc(pid_text: str) -> list[int]:
    """Where there is no /proc (macOS): the pid file's process, if it is a postgres."""
    if not pid_text.isdigit():
        return []
    shown = subprocess.run(
        ["/bin/ps", "-o", "stat=,command=", "-p", pid_text], capture_output=True, text=True, check=False
    )
    alive = "postgres" in shown.stdout and not shown.stdout.startswith("Z")
    return [int(pid_text)] if alive else []
