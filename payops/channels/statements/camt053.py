"""ISO 20022 camt.053, versions 001.02 to 001.12 (FORMATS 6.1).

Read as a stream with entities and network off. A DOCTYPE and any other namespace are refused. Amounts carry no sign:
CdtDbtInd is the effective direction, RvslInd only labels an entry. Only booked entries move money; announced ones are
kept apart. An entry with several transactions is a batch and is split when its parts add up to it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from django.utils.translation import gettext as _
from lxml import etree

from payops.channels.statements.base import Entry, Statement, StatementError, memo_of, minor, plain
from payops.core.money import format_amount

_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(?:0[2-9]|1[0-2])")
_OPENING: Final = ("OPBD", "PRCD", "ITBD")
_CLOSING: Final = ("CLBD", "ITBD")
_BOOKED: Final = "BOOK"
_ANNOUNCED: Final = ("PDNG", "INFO", "FUTR")
_NOT_PROVIDED: Final = "NOTPROVIDED"


@dataclass(slots=True)
class _Booked:
    """One Ntry: its signed amount and what it becomes."""

    amount: int
    announced: bool
    lines: list[Entry]


def read_camt053(stream: BinaryIO, name: str) -> list[Statement]:
    """The statements of a message, each proven by its balances and its summary."""
    statements: list[Statement] = []
    entries: list[_Booked] = []
    try:
        events = etree.iterparse(
            stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
            remove_comments=True, remove_pis=True,
        )  # fmt: skip
        root = None
        for event, element in events:
            if root is None:
                root = element
                _check_root(root, name)
            tag = _named(element)[1]
            if event == "end" and tag == "Ntry":
                entries.append(_entry(element, len(entries) + 1))
                # What is read is let go, or a month of entries would stand in memory as a tree.
                element.clear()
            elif event == "end" and tag == "Stmt":
                statements.append(_statement(element, entries))
                entries = []
                element.clear()
    except etree.LxmlError as error:
        raise StatementError(
            "statement.not_xml",
            _("“%(name)s” is damaged or incomplete XML (%(reason)s). Fetch it again from the bank.")
            % {"name": name, "reason": str(error)[:200]},
            {"name": name},
        ) from error
    if not statements:
        raise StatementError(
            "statement.empty", _("“%(name)s” holds no statement (Stmt).") % {"name": name}, {"name": name}
        )
    return statements


def _named(element: Any) -> tuple[str, str]:
    """Namespace and local name as they are written: a damaged file has names that lxml's own reading refuses."""
    namespace, _brace, localname = str(element.tag).rpartition("}")
    return namespace.lstrip("{"), localname


def _check_root(root: Any, name: str) -> None:
    if root.getroottree().docinfo.doctype:
        raise StatementError(
            "statement.doctype",
            _("“%(name)s” declares a document type, which no statement does. It is refused.") % {"name": name},
            {"name": name},
        )
    namespace, localname = _named(root)
    if localname != "Document" or not _NAMESPACE.fullmatch(namespace):
        raise StatementError(
            "statement.namespace",
            _("“%(name)s” is no camt.053 statement of version 02 to 12; it says “%(found)s”.")
            % {"name": name, "found": plain(namespace or localname, 120)},
            {"name": name, "namespace": namespace},
        )


# --- one statement ----------------------------------------------------------------------------------------------------


def _statement(element: Any, entries: list[_Booked]) -> Statement:
    account = _text(element, "Acct/Id/IBAN") or _text(element, "Acct/Id/Othr/Id")
    sequence = _text(element, "ElctrncSeqNb") or _text(element, "LglSeqNb") or _text(element, "Id")
    page = _text(element, "StmtPgntn/PgNb")
    number = plain(f"{sequence}/{page}" if page and page != "1" else sequence, 40)
    if not account or not number:
        raise StatementError(
            "statement.incomplete", _("A statement names neither its account nor its number."), {"account": account}
        )
    opening, currency, _opened = _balance(element, _OPENING, first=True)
    closing, closing_currency, day = _balance(element, _CLOSING, first=False)
    if closing_currency != currency or _text(element, "Acct/Ccy") not in ("", currency):
        raise StatementError(
            "statement.currency",
            _("Statement %(number)s mixes currencies in its balances.") % {"number": number},
            {"number": number},
        )
    booked = [entry for entry in entries if not entry.announced]
    statement = Statement(
        account=account.replace(" ", ""),
        number=number,
        date=day,
        currency=currency,
        opening=opening,
        closing=closing,
        entries=[line for entry in booked for line in entry.lines],
        pending=[line for entry in entries if entry.announced for line in entry.lines],
        booked=[entry.amount for entry in booked],
    )
    _check_summary(element, statement, entries)
    return statement.prove()


def _balance(element: Any, kinds: tuple[str, ...], *, first: bool) -> tuple[int, str, dt.date]:
    """The balance of the most fitting kind, signed, with its currency and day; a page may have an interim one."""
    found = [(_text(balance, "Tp/CdOrPrtry/Cd"), balance) for balance in element.findall("{*}Bal")]
    for kind in kinds:
        of_kind = [balance for code, balance in found if code == kind]
        if of_kind:
            balance = of_kind[0] if first else of_kind[-1]
            amount, currency = _amount(balance, _("balance %(kind)s") % {"kind": kind})
            return _signed(balance, amount), currency, _day(balance, "Dt")
    raise StatementError(
        "statement.no_balance",
        _("The statement has no balance of the kind %(kinds)s, so it proves nothing. Ask the bank for a whole one.")
        % {"kinds": ", ".join(kinds)},
        {"kinds": list(kinds)},
    )


def _check_summary(element: Any, statement: Statement, entries: list[_Booked]) -> None:
    """Counts and sums the bank states; whether announced entries count is the bank's choice, but one for all."""
    summary = element.find("{*}TxsSummry")
    if summary is None:
        return
    stated = _summary_figures(summary, statement.currency)
    everything = [entry.amount for entry in entries]
    found: list[tuple[list[str], dict[str, int]]] = []
    for amounts in (statement.booked, everything):
        ins, outs = [value for value in amounts if value > 0], [-value for value in amounts if value < 0]
        computed = {
            "TtlNtries/NbOfNtries": len(amounts), "TtlNtries/Sum": sum(ins) + sum(outs),
            "TtlCdtNtries/NbOfNtries": len(ins), "TtlCdtNtries/Sum": sum(ins),
            "TtlDbtNtries/NbOfNtries": len(outs), "TtlDbtNtries/Sum": sum(outs),
        }  # fmt: skip
        found.append(([name for name, value in stated.items() if computed[name] != value], computed))
    # The bank's choice is the one that comes nearest; the other would name figures that are right.
    differing, computed = min(found, key=lambda each: len(each[0]))
    if not differing:
        return
    first = differing[0]
    stated_figure, computed_figure = (
        format_amount(figures[first], statement.currency) if first.endswith("/Sum") else str(figures[first])
        for figures in (stated, computed)
    )
    raise StatementError(
        "statement.summary",
        _("Statement %(number)s states %(name)s %(stated)s, but its entries make %(computed)s.")
        % {"number": statement.number, "name": first, "stated": stated_figure, "computed": computed_figure},
        {"number": statement.number, "stated": stated},
    )


def _summary_figures(summary: Any, currency: str) -> dict[str, int]:
    stated: dict[str, int] = {}
    for group in ("TtlNtries", "TtlCdtNtries", "TtlDbtNtries"):
        count, total = _text(summary, f"{group}/NbOfNtries"), _text(summary, f"{group}/Sum")
        if count:
            if not re.fullmatch(r"[0-9]{1,15}", count):
                raise StatementError(
                    "statement.summary", _("“%(value)s” is not a number of entries.") % {"value": plain(count, 40)}
                )
            stated[f"{group}/NbOfNtries"] = int(count)
        if total:
            stated[f"{group}/Sum"] = minor(total, currency, f"TxsSummry/{group}/Sum")
    return stated


# --- one entry --------------------------------------------------------------------------------------------------------


def _entry(element: Any, number: int) -> _Booked:
    where = _("entry %(number)s") % {"number": number}
    amount, currency = _amount(element, where)
    amount = _signed(element, amount)
    status = _text(element, "Sts/Cd") or _text(element, "Sts/Prtry") or _text(element, "Sts")
    if status != _BOOKED and status not in _ANNOUNCED:
        raise StatementError(
            "statement.status",
            _("%(where)s has status “%(status)s”; whether it moved money cannot be told.")
            % {"where": where, "status": plain(status, 40)},
            {"number": number, "status": status[:40]},
        )
    details = element.findall("{*}NtryDtls/{*}TxDtls")
    reference = _text(element, "AcctSvcrRef")
    if not reference and len(details) == 1:
        reference = _text(details[0], "Refs/AcctSvcrRef")
    whole = Entry(
        reference=plain(reference, 56),
        value_date=_day(element, "ValDt", "BookgDt"),
        amount=amount,
        memo=memo_of([_text(element, "AddtlNtryInf")], ""),
        code=_code(element),
    )
    lines = _lines(whole, element, details, currency, where)
    return _Booked(amount, status != _BOOKED, lines)


def _lines(whole: Entry, element: Any, details: list[Any], currency: str, where: str) -> list[Entry]:
    """The entry itself, or the parts of a batch."""
    if not details:
        return [whole]
    if len(details) == 1:
        return [_described(whole, details[0], whole.amount, whole.reference, "")]
    stated = _text(element, "NtryDtls/Btch/NbOfTxs")
    if stated and stated.lstrip("0") != str(len(details)):
        raise _batch_error(where, _("it states %(stated)s parts and has %(found)s") % {
            "stated": plain(stated, 20), "found": len(details)})  # fmt: skip
    amounts = [_part_amount(part, whole.amount, currency, where) for part in details]
    if all(amount is None for amount in amounts):
        return [whole]
    if any(amount is None for amount in amounts) or sum(amount or 0 for amount in amounts) != whole.amount:
        raise _batch_error(where, _("its parts do not add up to it"))
    return [
        _described(whole, part, amount or 0, f"{whole.reference}/{n}" if whole.reference else "", whole.reference)
        for n, (part, amount) in enumerate(zip(details, amounts, strict=True), 1)
    ]


def _batch_error(where: str, reason: str) -> StatementError:
    return StatementError(
        "statement.batch", _("%(where)s is a batch, but %(reason)s.") % {"where": where, "reason": reason}, {}
    )


def _part_amount(part: Any, whole: int, currency: str, where: str) -> int | None:
    """A part's signed amount in the entry's currency: from version 03 its own, in 02 that of the transaction."""
    holder = part if part.find("{*}Amt") is not None else part.find("{*}AmtDtls/{*}TxAmt")
    if holder is None or holder.find("{*}Amt") is None:
        return None
    amount, found = _amount(holder, where)
    if found != currency:
        return None
    if part.find("{*}CdtDbtInd") is not None:
        return _signed(part, amount)
    return amount if whole >= 0 else -amount


def _described(whole: Entry, part: Any, amount: int, reference: str, batch: str) -> Entry:
    end_to_end = _text(part, "Refs/EndToEndId")
    end_to_end = "" if end_to_end == _NOT_PROVIDED else plain(end_to_end, 64)
    written = [_text(node) for node in part.findall("{*}RmtInf/{*}Ustrd")]
    written += [_text(node) for node in part.findall("{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref")]
    memo = [text for text in written if text] or [_text(part, "AddtlTxInf") or whole.memo]
    payer = ("Dbtr", "UltmtDbtr", "Cdtr") if amount >= 0 else ("Cdtr", "UltmtCdtr", "Dbtr")
    names = [_text(part, f"RltdPties/{role}/Pty/Nm") or _text(part, f"RltdPties/{role}/Nm") for role in payer]
    return Entry(
        reference=reference,
        value_date=whole.value_date,
        amount=amount,
        counterparty=plain(next((found for found in names if found), ""), 120),
        memo=memo_of(memo, end_to_end),
        end_to_end=end_to_end,
        code=_code(part) or whole.code,
        batch=batch,
    )


# --- small parts ------------------------------------------------------------------------------------------------------


def _text(element: Any, path: str = "") -> str:
    found = element.find("/".join(f"{{*}}{step}" for step in path.split("/"))) if path else element
    return (found.text or "").strip() if found is not None else ""


def _code(element: Any) -> str:
    parts = [_text(element, f"BkTxCd/Domn/{path}") for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")]
    return plain(".".join(part for part in parts if part) or _text(element, "BkTxCd/Prtry/Cd"), 40)


def _amount(element: Any, where: str) -> tuple[int, str]:
    node = element.find("{*}Amt")
    currency = (node.get("Ccy") or "") if node is not None else ""
    return minor(_text(element, "Amt"), currency, where), currency


def _signed(element: Any, amount: int) -> int:
    direction = _text(element, "CdtDbtInd")
    if direction not in ("CRDT", "DBIT"):
        raise StatementError(
            "statement.direction",
            _("“%(value)s” is neither CRDT nor DBIT.") % {"value": plain(direction, 40)},
            {"value": direction[:40]},
        )
    return amount if direction == "CRDT" else -amount


def _day(element: Any, *names: str) -> dt.date:
    """The first of several dates that is given, as a day or as a moment."""
    for name in names:
        text = _text(element, f"{name}/Dt") or _text(element, f"{name}/DtTm")[:10]
        if text:
            try:
                day = dt.date.fromisoformat(text)
            except ValueError:
                day = dt.date.min
            if 2000 <= day.year <= 2098:
                return day
            raise StatementError("statement.date", _("“%(value)s” is not a date.") % {"value": plain(text, 40)}, {})
    raise StatementError("statement.date", _("An entry or balance has no date."), {"names": list(names)})
