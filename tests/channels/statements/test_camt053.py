"""What a camt.053 statement means, entry by entry, and what it is refused for."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.channels.statements.conftest import CAMT, SAMPLES, edited, refused, statements

BAD = SAMPLES / "bad"


def version(number: int) -> bytes:
    """The sample as later versions write it: status codes from 07, BICFI from 03, parties and amounts deeper."""
    text = CAMT.read_text(encoding="utf-8").replace("camt.053.001.02", f"camt.053.001.{number:02d}")
    if number >= 3:
        text = text.replace("<BIC>", "<BICFI>").replace("</BIC>", "</BICFI>")
    if number >= 7:
        for status in ("BOOK", "PDNG"):
            text = text.replace(f"<Sts>{status}</Sts>", f"<Sts><Cd>{status}</Cd></Sts>")
        for role in ("Dbtr", "Cdtr"):
            text = text.replace(f"<{role}><Nm>", f"<{role}><Pty><Nm>").replace(
                f"</Nm></{role}>", f"</Nm></Pty></{role}>"
            )
    return text.encode()


def test_the_sample_is_read_and_proven():
    (statement,) = statements(CAMT)
    assert (statement.account, statement.number, statement.date) == (
        "31050170999900000001",
        "322",
        dt.date(2026, 11, 18),
    )
    assert (statement.opening, statement.closing) == (125_000_000, 222_337_542)
    assert (statement.credits, statement.debits, len(statement.booked)) == (106_098_991, 8_761_449, 12)


@pytest.mark.parametrize("number", range(2, 13))
def test_every_version_says_the_same(number):
    assert statements(version(number))[0].entries == statements(CAMT)[0].entries


@pytest.mark.parametrize("number", [1, 13, 99])
def test_another_version_is_refused(number):
    assert refused(version(number)).code == "statement.namespace"


def test_a_batch_is_split_into_its_parts():
    parts = [entry for entry in statements(CAMT)[0].entries if entry.batch]
    assert [(part.reference, part.amount, part.end_to_end) for part in parts] == [
        ("BNK26111800005/1", -5_000_000, "SETTLE-M10001"),
        ("BNK26111800005/2", -2_000_000, "SETTLE-M10003"),
        ("BNK26111800005/3", -1_500_000, "SETTLE-M10004"),
    ]


@pytest.mark.parametrize(("old", "new"), [
    ('<TxAmt><Amt Ccy="CNY">20000.00', '<TxAmt><Amt Ccy="CNY">20000.01'),
    ("<NbOfTxs>3</NbOfTxs>", "<NbOfTxs>4</NbOfTxs>"),
    ('<AmtDtls><TxAmt><Amt Ccy="CNY">20000.00</Amt></TxAmt></AmtDtls>', ""),
])  # fmt: skip
def test_a_batch_whose_parts_do_not_add_up_is_refused(old, new):
    assert refused(edited(CAMT, old, new)).code == "statement.batch"


def test_a_batch_that_is_not_itemised_stays_one_entry():
    text = CAMT.read_text(encoding="utf-8")
    for amount in ("50000.00", "20000.00", "15000.00"):
        text = text.replace(f'<AmtDtls><TxAmt><Amt Ccy="CNY">{amount}</Amt></TxAmt></AmtDtls>', "")
    entry = next(entry for entry in statements(text.encode())[0].entries if entry.amount == -8_500_000)
    assert (entry.reference, entry.batch) == ("BNK26111800005", "")


def test_an_announced_entry_moves_no_money_and_is_kept_apart():
    (statement,) = statements(CAMT)
    assert [(entry.reference, entry.amount) for entry in statement.pending] == [("BNK26111800013", 12_345)]
    assert "BNK26111800013" not in {entry.reference for entry in statement.entries}


def test_a_returned_payout_comes_in_and_names_its_payout():
    entry = next(entry for entry in statements(CAMT)[0].entries if entry.reference == "BNK26111800007")
    assert (entry.amount, entry.end_to_end, entry.code) == (260_000, "PAYOUT-20261118-02", "PMNT.ICDT.RRTN")


def test_the_value_date_is_the_entrys_own():
    entry = next(entry for entry in statements(CAMT)[0].entries if entry.reference == "BNK26111800008")
    assert entry.value_date == dt.date(2026, 11, 19)


def test_the_payers_reference_stands_behind_the_memo_unless_none_was_given():
    first, *_rest = statements(CAMT)[0].entries
    fee = next(entry for entry in statements(CAMT)[0].entries if entry.reference == "BNK26111800004")
    assert first.memo == "微信支付结算 1699999901 T+1 20261117 WXSETTLE20261117"
    assert (first.counterparty, fee.memo) == ("渠道甲备付金", "账户管理费")


def test_two_entries_with_one_reference_are_told_apart_the_same_way_every_time():
    data = edited(CAMT, "BNK26111800009", "BNK26111800004")
    references = [entry.reference for entry in statements(data)[0].entries]
    assert references.count("BNK26111800004") == references.count("BNK26111800004#2") == 1
    assert references == [entry.reference for entry in statements(data)[0].entries]


def test_an_entry_without_a_reference_gets_one_from_its_statement():
    data = edited(CAMT, "<AcctSvcrRef>BNK26111800004</AcctSvcrRef>", "")
    assert "20261118-322-4" in {entry.reference for entry in statements(data)[0].entries}


@pytest.mark.parametrize(("name", "code"), [
    ("camt053_balance_mismatch.xml", "statement.balance"),
    ("camt053_truncated.xml", "statement.not_xml"),
    ("camt053_unknown_namespace.xml", "statement.namespace"),
])  # fmt: skip
def test_a_bad_sample_is_refused_for_its_reason(name, code):
    assert refused(BAD / name).code == code


@pytest.mark.parametrize(("old", "new", "code"), [
    ("<NbOfNtries>7</NbOfNtries>", "<NbOfNtries>8</NbOfNtries>", "statement.summary"),
    ("<Sum>87614.49</Sum>", "<Sum>87614.48</Sum>", "statement.summary"),
    (">3101.25<", ">3101.255<", "statement.amount"),
    (">3101.25<", ">-3101.25<", "statement.amount"),
    (">3101.25<", ">3,101.25<", "statement.amount"),
    ('Ccy="CNY">3101.25', 'Ccy="XXX">3101.25', "statement.amount"),
    ("<Sts>BOOK</Sts>", "<Sts>MAYB</Sts>", "statement.status"),
    ("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "<CdtDbtInd>BOTH</CdtDbtInd><Sts>", "statement.direction"),
    ("<Cd>CLBD</Cd>", "<Cd>CLAV</Cd>", "statement.no_balance"),
    ("<Othr><Id>31050170999900000001</Id></Othr>", "", "statement.incomplete"),
    ("<ValDt><Dt>2026-11-18</Dt></ValDt>", "<ValDt><Dt>2026-11-31</Dt></ValDt>", "statement.date"),
    ("<Stmt>", "<Rpt>", "statement.not_xml"),
])  # fmt: skip
def test_what_cannot_be_believed_is_refused(old, new, code):
    assert refused(edited(CAMT, old, new)).code == code


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<NbOfNtries>7</NbOfNtries>", "<NbOfNtries>8</NbOfNtries>", "NbOfNtries 8, but its entries make 7."),
        ("<Sum>87614.49</Sum>", "<Sum>87614.48</Sum>", "/Sum 87,614.48, but its entries make 87,614.49."),
    ],
)
def test_a_summary_that_does_not_add_up_is_told_as_counts_and_amounts(old, new, says):
    assert says in str(refused(edited(CAMT, old, new)))


def test_a_lost_entry_breaks_the_balance():
    text = CAMT.read_text(encoding="utf-8")
    start = text.index("<Ntry><NtryRef>9<")
    cut = text[:start] + text[text.index("</Ntry>", start) + len("</Ntry>") :]
    assert refused(cut.encode()).code == "statement.summary"


def test_a_document_type_is_refused_before_any_entity_is_looked_at():
    data = edited(CAMT, "<Document", '<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document')
    assert refused(data).code == "statement.doctype"


def test_entities_that_swell_are_refused_at_once():
    nested = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    data = edited(CAMT, "<Document", f'<!DOCTYPE Document [<!ENTITY a0 "aaaaaaaaaa">{nested}]><Document')
    assert refused(data.replace("账户管理费".encode(), b"&a11;")).code == "statement.doctype"


def test_a_statement_in_utf_16_is_read_too():
    text = CAMT.read_text(encoding="utf-8").replace('encoding="UTF-8"', 'encoding="UTF-16"')
    assert statements(text.encode("utf-16"))[0].closing == 222_337_542
