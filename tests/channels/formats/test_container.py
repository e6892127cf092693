"""Packing is undone as a stream, by content, and within limits."""

import base64
import gzip
import io
import tracemalloc
import zipfile
import zlib

import pytest

from payops.channels.formats import FORMATS, FormatError, Limits, Source, get_format, unwrap
from tests.channels.formats.bills import ALIPAY_ZIP, WECHAT_ALL, ZM, expectation, read

SMALL = Limits(max_bytes=1 << 20, max_ratio=20, ratio_after=1 << 16)


def zipped(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def code_of(data, *, limits=None):
    """The error with which packed data is refused."""
    with pytest.raises(FormatError) as caught:
        unpack(data, limits or Limits())
    return caught.value.code


def unpack(data, limits):
    """Read every member to its end."""
    for member in unwrap(Source.of(data, "x"), limits):
        with member.open() as stream:
            while stream.read(1 << 16):
                pass


def test_a_plain_file_is_itself():
    assert [member.name for member in unwrap(Source.of(WECHAT_ALL))] == [WECHAT_ALL.name]


def test_gbk_member_names_are_read_as_such():
    names = [member.name for member in unwrap(Source.of(ALIPAY_ZIP))]
    assert names == ["20889900112233440156_20261118_业务明细(汇总).csv", "20889900112233440156_20261118_业务明细.csv"]


@pytest.mark.parametrize("pack", [
    gzip.compress,
    lambda data: zipped(("a", data)),
    lambda data: gzip.compress(zipped(("a", data))),
    lambda data: base64.b64encode(zlib.compress(zipped(("a", data)))),
    lambda data: base64.encodebytes(zlib.compress(zipped(("a", data)))),
])  # fmt: skip
def test_a_packed_bill_reads_like_the_bare_one(pack):
    assert read("unionpay_zm", pack(ZM.read_bytes()))[1] == read("unionpay_zm", ZM.read_bytes())[1]


def test_a_source_can_be_opened_again_and_again():
    member = unwrap(Source.of(ALIPAY_ZIP))[1]
    with member.open() as first, member.open() as second:
        assert first.read(50) == second.read(50)


@pytest.mark.parametrize("pack", [
    gzip.compress,
    lambda data: zipped(("a", data)),
    lambda data: base64.b64encode(zlib.compress(data)),
    lambda data: gzip.compress(gzip.compress(data)),
])  # fmt: skip
def test_a_bomb_is_stopped_at_the_limit(pack):
    assert code_of(pack(b"0" * (8 << 20)), limits=SMALL) == "bill.too_large"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_bomb_as_a_bill_is_refused_without_filling_memory(fmt):
    bomb = zipped(("bill.csv", b"0" * (300 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            list(get_format(fmt).open(Source.of(bomb, "bill.zip"), expectation(fmt)))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_too_many_members_are_refused():
    assert code_of(zipped(*((str(n), b"x") for n in range(40)))) == "bill.too_many_members"


def test_too_deep_packing_is_refused():
    data = b"x"
    for _n in range(5):
        data = gzip.compress(data)
    assert code_of(data) == "bill.nested_archive"


def test_a_cut_gzip_is_named_as_damaged():
    assert code_of(gzip.compress(WECHAT_ALL.read_bytes())[:-200]) == "bill.damaged_archive"


def test_a_cut_zip_is_named_as_damaged():
    assert code_of(ALIPAY_ZIP.read_bytes()[:-100]) == "bill.damaged_archive"


def test_a_cut_base64_text_is_named_as_damaged():
    data = base64.b64encode(zlib.compress(zipped(("a", ZM.read_bytes()))))
    assert code_of(data[:-101]) == "bill.damaged_archive"


def test_a_wrong_checksum_in_a_zip_is_named_as_damaged():
    data = bytearray(zipped(("a", WECHAT_ALL.read_bytes())))
    data[300] ^= 0xFF
    assert code_of(bytes(data)) == "bill.damaged_archive"


def test_an_encrypted_zip_is_named_as_such():
    data = bytearray(zipped(("a", b"secret")))
    data[6] |= 1
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    assert code_of(bytes(data)) == "bill.encrypted"


def test_unix_compress_is_named_as_unsupported():
    assert code_of(b"\x1f\x9d\x90" + b"x" * 100) == "bill.unsupported_archive"


def test_an_empty_zip_holds_no_bill():
    with pytest.raises(FormatError):
        read("alipay_trade", zipped())
