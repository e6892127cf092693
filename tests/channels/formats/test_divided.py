"""A bill read by several processes is the bill one process reads, odd rows, wording and figures included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from payops.channels.formats import FormatError, Source, get_format
from payops.channels.formats.container import LineStream
from payops.channels.formats.crew import Crew, Task
from payops.core.errors import PayopsError
from tests.channels.formats.bills import ALIPAY_DETAIL, ALIPAY_ZIP, SAMPLES, WECHAT_ALL, ZM, expectation
from tests.channels.formats.bills import BILLS as SAMPLE_OF

BAD, TOLERATED = SAMPLES / "bad", SAMPLES / "tolerate"
PREFIX = 261118 * 10**12
BILLS = {
    "wechat": ("wechat_trade", WECHAT_ALL),
    "alipay": ("alipay_trade", ALIPAY_DETAIL),
    "alipay zip": ("alipay_trade", ALIPAY_ZIP),
    "alipay utf-8": ("alipay_trade", TOLERATED / "alipay_utf8_bom.csv"),
    "alipay line break": ("alipay_trade", BAD / "alipay_newline_in_remark.csv"),
    "unionpay": ("unionpay_zm", ZM),
    "unionpay trimmed": ("unionpay_zm", TOLERATED / "unionpay_zm_trailing_spaces_trimmed"),
    "unionpay bad amount": ("unionpay_zm", BAD / "unionpay_zm_bad_amount"),
    "unionpay short line": ("unionpay_zm", BAD / "unionpay_zm_short_line"),
}
REFUSED = {
    "wechat footer": ("wechat_trade", BAD / "wechat_footer_mismatch.csv"),
    "wechat cut": ("wechat_trade", BAD / "wechat_truncated_no_footer.csv"),
    "alipay counts": ("alipay_trade", BAD / "alipay_count_mismatch.csv"),
    "alipay no end": ("alipay_trade", BAD / "alipay_no_end_marker.csv"),
    "unionpay other merchant": ("unionpay_zm", BAD / "unionpay_zm_wrong_merchant_INN26111888ZM_777290058999901"),
}


@pytest.fixture
def small_blocks(monkeypatch):
    """Every row or two is a block."""
    monkeypatch.setattr(LineStream.__init__, "__defaults__", (300,))


def opened(code, file, crew=None):
    reader = get_format(code).open(Source.of(file), expectation(code))
    if crew is not None:
        reader.divide_with(crew)
    return reader


def crew_for(code, file, members=2):
    return Crew(Task(str(file), Path(file).name, code, expectation(code)), members)


def rows(reader):
    return sorted(line for chunk in reader.copy_chunks(PREFIX, 7) for line in chunk.splitlines())


def told(reader):
    """Everything a reader says of a file when it is through."""
    return (
        reader.line_count,
        reader.bad_lines,
        reader.warnings,
        reader.totals.as_dict(),
        reader.totals.proven,
        reader.sums_by_currency,
    )


@pytest.mark.parametrize("bill", BILLS)
def test_several_processes_read_what_one_reads(small_blocks, bill):
    code, file = BILLS[bill]
    alone = opened(code, file)
    expected = rows(alone)
    with crew_for(code, file) as crew:
        divided = opened(code, file, crew)
        assert rows(divided) == expected
    assert told(divided) == told(alone)


@pytest.mark.parametrize("bill", REFUSED)
def test_several_processes_refuse_what_one_refuses(small_blocks, bill):
    code, file = REFUSED[bill]
    with pytest.raises(FormatError) as alone:
        rows(opened(code, file))
    with crew_for(code, file) as crew, pytest.raises(FormatError) as divided:
        rows(opened(code, file, crew))
    assert divided.value.code == alone.value.code


def test_a_row_broken_over_two_blocks_is_read_once(small_blocks, tmp_path):
    text = WECHAT_ALL.read_bytes().split(b"\r\n")
    at = next(i for i, line in enumerate(text) if line.startswith(b"`2026"))
    cells = text[at].split(b",`")
    cells[20] = b"first line\nsecond line" + b" and so on" * 60
    text[at] = b",`".join(cells)
    file = tmp_path / "broken.csv"
    file.write_bytes(b"\r\n".join(text))
    alone = opened("wechat_trade", file)
    expected = rows(alone)
    with crew_for("wechat_trade", file) as crew:
        divided = opened("wechat_trade", file, crew)
        assert rows(divided) == expected
    assert told(divided) == told(alone)
    assert alone.line_count == 19


def test_an_odd_block_is_given_back_and_nothing_of_it_is_counted():
    reader = opened("unionpay_zm", BAD / "unionpay_zm_bad_amount")
    reader.obey(PREFIX, 7)
    assert reader.text_of(1, (BAD / "unionpay_zm_bad_amount").read_bytes()) is None
    assert reader.figures()["sums"] == {}
    assert reader.bad_lines == []


@pytest.mark.parametrize("code", ["wechat_fundflow", "alipay_account", "unionpay_zme", "unionpay_acomn"])
def test_files_whose_rows_hang_together_are_read_by_one_process(code):
    assert not opened(code, SAMPLE_OF[code]).divisible


# --- processes that end ---


def children():
    own = os.getpid()
    return {
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and parent_of(entry) == own and b"crew_member" in (entry / "cmdline").read_bytes()
    }


def parent_of(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def test_a_member_that_is_killed_fails_the_reading(small_blocks):
    with crew_for("wechat_trade", WECHAT_ALL) as crew:
        reader = opened("wechat_trade", WECHAT_ALL, crew)
        start = crew.start

        def start_and_kill(*arguments):
            start(*arguments)
            os.kill(children().pop(), signal.SIGKILL)

        crew.start = start_and_kill
        with pytest.raises(PayopsError) as error:
            rows(reader)
    assert error.value.code == "bill.reader_lost"
    assert error.value.context["status"] == -signal.SIGKILL
    assert children() == set()


def test_a_reading_that_fails_leaves_no_process(small_blocks):
    with crew_for("wechat_trade", WECHAT_ALL) as crew:
        reading = opened("wechat_trade", WECHAT_ALL, crew).copy_chunks(PREFIX, 7)
        next(reading)
        assert len(children()) == 2
    assert children() == set()


READER_THAT_WAITS = """
import sys, time
from django.conf import settings
settings.configure(USE_I18N=False)
from tests.channels.formats.test_divided import WECHAT_ALL, crew_for, children
crew = crew_for("wechat_trade", WECHAT_ALL, 1)
crew.start({}, 1, b"7")
print(children().pop(), flush=True)
time.sleep(60)
"""


def test_a_member_ends_when_its_reader_is_killed():
    root = Path(__file__).parents[3]
    reader = subprocess.Popen([sys.executable, "-c", READER_THAT_WAITS], cwd=root, stdout=subprocess.PIPE)
    member = int(reader.stdout.readline())
    reader.kill()
    reader.wait()
    reader.stdout.close()
    deadline = time.monotonic() + 20
    while lives(member) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(member)


def lives(pid: int) -> bool:
    try:
        return "crew_member" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
