"""The embedded PostgreSQL: starts anywhere, twice, after a crash, and never touches what is not its own."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from payops.config import embedded_pg, embedded_pg_host
from payops.config.embedded_pg import EmbeddedPostgres, EmbeddedPostgresError

pytestmark = pytest.mark.slow
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the server as somebody else")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder everybody may enter, with the characters people really have in paths."""
    made = Path(tempfile.mkdtemp(prefix="payops test "))
    made.chmod(0o755)
    home = made / "Müller's 对账 $HOME"
    home.mkdir()
    yield home
    for version in embedded_pg.BINARIES:
        remove_server(EmbeddedPostgres(home, version))
    shutil.rmtree(made)


def remove_server(server: EmbeddedPostgres) -> None:
    if server.places.home.exists():
        server.stop()
        shutil.rmtree(server.socket_dir, ignore_errors=True)
        shutil.rmtree(server.places.home)


@pytest.fixture
def server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, 18).ensure_running()


def ask(server: EmbeddedPostgres, question: str) -> str:
    with psycopg.connect(server.url()) as connection:
        return connection.execute(question).fetchone()[0]


def pid_of(server: EmbeddedPostgres) -> int:
    return int(server.status()["pid"])


def test_it_runs_in_a_path_with_spaces_quotes_and_chinese(server):
    assert ask(server, "SHOW data_directory") == str(server.places.data)


def test_the_options_that_matter_are_set(server):
    assert ask(server, "SHOW listen_addresses") == ""
    assert ask(server, "SHOW max_locks_per_transaction") == "1024"
    assert ask(server, "SHOW fsync") == "on"
    assert ask(server, "SHOW synchronous_commit") == "on"
    assert ask(server, "SHOW server_encoding") == "UTF8"
    assert ask(server, "SHOW wal_level") == "minimal"


def test_version_16_is_there_too_and_keeps_its_own_data(folder):
    server = EmbeddedPostgres(folder, 16).ensure_running()
    assert ask(server, "SHOW server_version").startswith("16.")
    assert server.places.data != EmbeddedPostgres(folder, 18).places.data


def test_an_unknown_version_is_refused_with_the_ones_there_are(folder):
    with pytest.raises(EmbeddedPostgresError, match="18, 16"):
        EmbeddedPostgres(folder, 9)


def test_a_second_start_only_looks(server, folder):
    pid = pid_of(server)
    began = time.monotonic()
    again = EmbeddedPostgres(folder, 18).ensure_running()
    assert time.monotonic() - began < 1
    assert pid_of(again) == pid


def test_many_starts_at_once_make_one_server(folder):
    script = "import sys; from payops.config.embedded_pg import EmbeddedPostgres as P; "
    script += "print(P(sys.argv[1], 18).ensure_running().status()['pid'])"
    command = [sys.executable, "-c", script, str(folder)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {run.communicate(timeout=120)[0] for run in runs}
    assert len(pids) == 1
    assert pids != {""}


def test_the_socket_folder_is_private_and_short(server):
    found = server.socket_dir.stat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert found.st_uid == server.account.uid
    assert len(os.fsencode(server.socket_dir / ".s.PGSQL.5432")) <= 107


def test_a_long_temporary_directory_is_passed_over(folder, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp/" + "x" * 100)
    assert str(EmbeddedPostgres(folder, 18).socket_dir).startswith("/tmp/payops-")


def test_another_temporary_directory_still_finds_the_running_server(server, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert EmbeddedPostgres(folder, 18).is_running()


def test_a_socket_folder_open_to_others_is_refused(server):
    server.socket_dir.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="0700"):
        server.is_running()
    server.socket_dir.chmod(0o700)


def test_a_link_in_place_of_the_socket_folder_is_refused(folder, tmp_path):
    server = EmbeddedPostgres(folder, 18)
    server.socket_dir.symlink_to(tmp_path)
    with pytest.raises(EmbeddedPostgresError, match="0700"):
        server.ensure_running()
    server.socket_dir.unlink()


def test_a_server_without_a_free_place_counts_as_running(server, folder):
    """Taking it for dead and starting another would end everybody's work."""
    crowd = [psycopg.connect(server.url()) for _ in range(100)]
    assert EmbeddedPostgres(folder, 18).is_running()
    for connection in crowd:
        connection.close()


@pytest.mark.crash
def test_a_server_that_hangs_is_named_and_not_killed(server, folder, monkeypatch):
    monkeypatch.setattr(embedded_pg, "CONNECT_SECONDS", 2)
    pid = pid_of(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedPostgresError, match=f"process {pid} but does not answer"):
            EmbeddedPostgres(folder, 18).ensure_running(wait_seconds=1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert pid_of(EmbeddedPostgres(folder, 18).ensure_running()) == pid


@pytest.mark.crash
def test_after_kill_9_it_starts_again_with_everything_committed(server, folder):
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    killed = pid_of(server)
    os.kill(killed, signal.SIGKILL)
    again = EmbeddedPostgres(folder, 18).ensure_running()
    assert pid_of(again) != killed
    assert ask(again, "SELECT n FROM kept") == 42


@pytest.mark.crash
def test_after_kill_9_a_table_loaded_in_the_transaction_that_made_it_is_whole(server, folder):
    """Its rows and index are not in the log but synced at commit; those of one that did not commit are gone."""
    made = "CREATE TABLE {0} (n int); INSERT INTO {0} SELECT generate_series(1, 200000); CREATE INDEX ON {0} (n)"
    with psycopg.connect(server.url()) as connection:
        connection.execute("CHECKPOINT")
        connection.execute(made.format("loaded"))
    interrupted = psycopg.connect(server.url())
    interrupted.execute(made.format("interrupted"))
    os.kill(pid_of(server), signal.SIGKILL)
    interrupted.close()
    again = EmbeddedPostgres(folder, 18).ensure_running()
    assert ask(again, "SELECT sum(n) FROM loaded") == 200_000 * 200_001 // 2
    assert ask(again, "SELECT to_regclass('interrupted')") is None
    with psycopg.connect(again.url()) as connection:
        connection.execute("SET enable_seqscan = off")
        assert connection.execute("SELECT count(*) FROM loaded WHERE n > 100000").fetchone() == (100_000,)


@pytest.mark.crash
def test_a_child_that_outlives_the_killed_server_is_waited_for(server, folder):
    """A backend in the middle of work keeps the shared memory; the next start must neither fail nor go past it."""
    with psycopg.connect(server.url()) as busy:
        backend = busy.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        os.kill(pid_of(server), signal.SIGKILL)
        waker = subprocess.Popen(["/bin/sh", "-c", f"sleep 2; kill -CONT {backend}"])
        again = EmbeddedPostgres(folder, 18).ensure_running()
        waker.wait()
        assert ask(again, "SELECT 1") == 1


@pytest.mark.crash
def test_a_stale_pid_file_whose_number_now_belongs_to_another_process(server, folder):
    server.stop()
    stranger = subprocess.Popen(["/bin/sleep", "60"], **embedded_pg_host.process_options(server.account))
    lines = [str(stranger.pid), str(server.places.data), "0", "5432", str(server.socket_dir), "", " 1 2", "ready"]
    (server.places.data / "postmaster.pid").write_text("\n".join(lines))
    os.chown(server.places.data / "postmaster.pid", server.account.uid, server.account.gid)
    again = EmbeddedPostgres(folder, 18).ensure_running()
    assert pid_of(again) != stranger.pid
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_killed_first_start_leaves_nothing_half_made(folder):
    server = EmbeddedPostgres(folder, 18)
    server.places.home.mkdir()
    server._give(server.places.home)
    (server.places.home / "data.new").mkdir()
    (server.places.home / "data.new" / "PG_VERSION").write_text("18\n")
    assert server.ensure_running().is_running()


def test_a_folder_with_something_else_in_it_is_left_alone(folder):
    server = EmbeddedPostgres(folder, 18)
    server.places.data.mkdir(parents=True)
    os.chown(server.places.data, server.account.uid, server.account.gid)
    (server.places.data / "thesis.txt").write_text("precious")
    with pytest.raises(EmbeddedPostgresError, match="left alone"):
        server.ensure_running()
    assert (server.places.data / "thesis.txt").read_text() == "precious"
    (server.places.data / "thesis.txt").unlink()


@AS_ROOT
def test_data_of_somebody_without_an_account_is_left_alone(folder):
    server = EmbeddedPostgres(folder, 18)
    server.places.data.mkdir(parents=True)
    os.chown(server.places.data, 54321, 54321)
    with pytest.raises(EmbeddedPostgresError, match="belongs to uid 54321"):
        server.ensure_running()


def test_data_of_another_version_is_left_alone(server):
    server.stop()
    mark = server.places.data / "PG_VERSION"
    mark.write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="holds 17"):
        server.ensure_running()
    mark.write_text("18\n")


def test_a_server_that_cannot_start_shows_the_end_of_its_log(server, monkeypatch):
    server.stop()
    monkeypatch.setattr(embedded_pg, "CONFIGURATION", "nonsense_option = 1\n")
    monkeypatch.setattr(embedded_pg, "ORPHAN_GRACE_SECONDS", 1)
    with pytest.raises(EmbeddedPostgresError, match="nonsense_option"):
        server.ensure_running()


def test_stop_ends_open_connections_and_says_whether_it_ran(server):
    with psycopg.connect(server.url()):
        assert server.stop() is True
    assert server.is_running() is False
    assert server.stop() is False


def test_a_command_piped_elsewhere_ends_although_the_server_stays(folder):
    """A server that kept the pipe of its starter open would hang `make day | tee log`."""
    script = (
        "import sys; from payops.config.embedded_pg import EmbeddedPostgres as P; P(sys.argv[1], 18).ensure_running()"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, check=True, timeout=60)
    assert EmbeddedPostgres(folder, 18).is_running()


@AS_ROOT
def test_root_runs_the_server_as_somebody_without_rights(server):
    assert Path(f"/proc/{pid_of(server)}").stat().st_uid != 0


@AS_ROOT
def test_behind_a_closed_parent_data_and_binaries_go_elsewhere_and_no_permission_changes(folder):
    folder.parent.chmod(0o700)
    try:
        server = EmbeddedPostgres(folder, 18).ensure_running()
        assert server.places.home.parent == embedded_pg.CLOSED_PARENT_HOME
        assert server.places.install.is_relative_to(server.places.home)
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        remove_server(server)
    finally:
        folder.parent.chmod(0o755)


@AS_ROOT
def test_an_ordinary_user_runs_it_as_himself():
    home = Path(tempfile.mkdtemp(prefix="payops user "))
    os.chown(home, 65534, 65534)
    # Root's Python may be closed to others, so the rights are given up after everything is imported.
    script = textwrap.dedent("""
        import os, sys, encodings.idna
        from payops.config.embedded_pg import EmbeddedPostgres
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        server = EmbeddedPostgres(sys.argv[1], 18).ensure_running()
        print(os.stat(f"/proc/{server.status()['pid']}").st_uid)
        server.stop()
    """)
    ran = subprocess.run([sys.executable, "-c", script, str(home)], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("65534\n", "")
    shutil.rmtree(home)
