"""Old days in files: which may go and which stay, and that the books are proved across what is archived."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import DatabaseError, connection, transaction

from payops.accounts.models import Entry, Voucher
from payops.accounts.selectors import trial_balance
from payops.accounts.verify import ledger_verify
from payops.channels.models import BillFile, ChannelContract
from payops.core.archive import archived_on, partitions_of
from payops.core.models import ArchivedPartition
from payops.dayend import archiving
from payops.dayend.sample.generator import generate
from payops.discrepancies.models import Discrepancy
from payops.orders.models import OpenTransaction, Transaction
from payops.reconciliation.models import ChannelReceipt
from payops.settlement.models import ClearingHold
from tests.dayend.days import MON, SMALL, TUE, WED, SampleDays, bank_at, books, output_of

OLD_ENOUGH = "1"


@pytest.fixture(scope="module")
def walked(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Monday and Tuesday closed with their planted differences, Tuesday's payouts not yet approved."""
    folder = tmp_path_factory.mktemp("archiving")
    generate(folder / "days", SMALL)
    patch = pytest.MonkeyPatch()
    with django_db_blocker.unblock(), bank_at(folder, MON) as bank, transaction.atomic():
        patch.setattr(django_settings, "BANK_SIMULATOR_URL", bank.url)
        patch.setattr(django_settings, "PAYOPS_FILES_DIR", folder / "files")
        days = SampleDays(folder / "days", bank)
        days.all_of(MON)
        days.finish(MON)
        days.all_of(TUE)
        days.run(TUE)
        connection.check_constraints()
        patch.undo()
        yield folder
        transaction.set_rollback(True)


@pytest.fixture
def old(walked: Path, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if these days were long ago."""
    settings.PAYOPS_FILES_DIR = walked / "files"
    monkeypatch.setattr(archiving, "LEAST_DAYS", 0)


@pytest.fixture
def worked_off(old: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every case of these days had come to its end: only the seal is asked for."""
    monkeypatch.setattr(archiving, "CHECKS", (archiving._not_sealed,))


def names_of(day: dt.date) -> set[str]:
    return {
        partition.name
        for model in archiving.partitioned_models()
        for partition in partitions_of(model)
        if partition.day == day
    }


# --- what stays -------------------------------------------------------------------------------------------------------


def test_a_day_with_open_cases_stays_and_says_which(old: None) -> None:
    case = Discrepancy.objects.filter(business_date=MON, state="open").order_by("case_no").first()
    code, out, _err = output_of("archive_partitions", "--older-than", OLD_ENOUGH, "--json")
    told = json.loads(out)
    assert code == 0
    assert any(case.case_no in reason for reason in told["stay"][MON.isoformat()])
    assert not [done for done in told["archived"] if done["day"] == MON.isoformat()]
    assert names_of(MON)


def test_a_day_that_is_not_closed_stays(old: None) -> None:
    assert list(archiving._not_sealed(MON)) == []
    assert list(archiving._not_sealed(WED)) == ["it is not closed and sealed"]
    assert list(archiving._not_sealed(dt.date(2026, 11, 10))) == ["it never was an accounting day"]


def test_a_day_with_sheets_that_are_not_paid_stays(old: None) -> None:
    assert any(sentence.startswith("settlement sheets not paid: ") for sentence in archiving._unpaid_sheets(TUE))


def test_a_day_with_a_transaction_kept_out_of_clearing_stays(old: None) -> None:
    hold = ClearingHold.objects.filter(state="held").first()
    assert any(each.startswith("transactions kept out of clearing") for each in archiving._unpaid_sheets(hold.own_date))


def test_a_day_with_a_transaction_without_an_end_stays(old: None) -> None:
    row = Transaction.objects.for_days(MON).filter(own_date=MON).first()
    OpenTransaction.objects.get_or_create(
        transaction_id=row.pk, defaults={"contract_id": row.contract_id, "own_date": MON}
    )
    assert any(sentence.startswith("transactions without an end: ") for sentence in archiving._open_transactions(MON))


def test_a_day_with_a_refund_of_its_payment_without_an_end_stays(old: None) -> None:
    row = Transaction.objects.for_days(MON, WED).filter(original_id__isnull=False).first()
    OpenTransaction.objects.get_or_create(
        transaction_id=row.pk, defaults={"contract_id": row.contract_id, "own_date": row.own_date}
    )
    paid_on = archiving.id_range(MON, MON)[0] <= row.original_id < archiving.id_range(MON, MON)[1]
    day = MON if paid_on else TUE
    assert any(
        sentence.startswith("refunds of its payments without an end") for sentence in archiving._open_transactions(day)
    )


def test_a_day_with_an_open_item_stays(old: None) -> None:
    assert any(sentence.startswith("open items: ") for day in (MON, TUE) for sentence in archiving._open_items(day))


def test_a_day_with_a_bill_nobody_decided_on_stays(old: None) -> None:
    BillFile.objects.create(
        contract=ChannelContract.objects.first(),
        channel_date=MON,
        bill_type="trade",
        version=9,
        state="held",
        original_name="again.csv",
        sha256="0" * 64,
        size=1,
        stored_path="x",
    )
    assert list(archiving._undecided_bills(MON)) == ["bills without a decision: again.csv"]


def test_a_day_whose_money_is_awaited_stays(old: None) -> None:
    ChannelReceipt.objects.filter(channel_date=MON).update(state="waiting")
    assert any(sentence.startswith("receipts not yet seen") for sentence in archiving._awaited_receipts(MON))


def test_young_days_are_never_archived(db: None) -> None:
    code, _out, err = output_of("archive_partitions", "--older-than", "3")
    assert code == 1
    assert "35 days at the earliest" in err


def test_a_table_that_is_not_kept_by_day_is_named(old: None) -> None:
    code, _out, err = output_of("archive_partitions", "--older-than", OLD_ENOUGH, "--table", "core_jobrun")
    assert code == 1
    assert "core_jobrun" in err
    assert "accounts_entry" in err


# --- what goes, and the proof -----------------------------------------------------------------------------------------


def test_a_dry_run_tells_and_changes_nothing(worked_off: None) -> None:
    before = names_of(MON)
    _code, out, _err = output_of("archive_partitions", "--older-than", OLD_ENOUGH, "--dry-run", "--json")
    assert {done["partition"] for done in json.loads(out)["archived"]} >= before
    assert names_of(MON) == before
    assert not ArchivedPartition.objects.exists()


def test_only_the_tables_asked_for_go(worked_off: None) -> None:
    output_of("archive_partitions", "--older-than", OLD_ENOUGH, "--table", "channels_billline")
    assert set(ArchivedPartition.objects.values_list("parent", flat=True)) == {"channels_billline"}


def test_the_chain_of_seals_is_proved_across_archived_days(worked_off: None) -> None:
    before = ledger_verify()
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    after = ledger_verify(read_files=True)
    assert after.problems == before.problems == []
    assert after.entries == before.entries
    assert [sentence.split(":")[0] for sentence in after.archived] == [MON.isoformat()] * 2
    assert not Entry.objects.for_days(MON).exists()
    assert not Voucher.objects.for_days(MON).exists()


def test_another_digest_in_the_register_breaks_the_chain(worked_off: None) -> None:
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE core_archivedpartition SET ledger_digest = jsonb_set(ledger_digest, '{digest}', '\"0\"')"
            " WHERE parent = 'accounts_entry'"
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert any("the seal does not fit" in problem for problem in ledger_verify().problems)


def test_a_damaged_file_is_told_by_who_reads_the_archives(worked_off: None) -> None:
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    (entry,) = archived_on(Entry, MON)
    path = Path(django_settings.PAYOPS_ARCHIVE_DIR) / entry.path
    path.write_bytes(path.read_bytes()[:-9])
    code, out, err = output_of("verify_ledger", "--archives", "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)
    assert entry.path in err


def test_the_trial_balance_of_an_archived_day_stands(worked_off: None) -> None:
    before = trial_balance(MON)
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    assert trial_balance(MON) == before


def test_an_archived_day_takes_no_entry(worked_off: None) -> None:
    voucher = Voucher.objects.for_days(MON).first()
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    with pytest.raises(DatabaseError), transaction.atomic():
        voucher.save(force_insert=True)


def test_a_day_brought_back_is_what_it_was(worked_off: None) -> None:
    before = books(), list(Transaction.objects.for_days(MON).values()), list(Entry.objects.for_days(MON).values())
    names = names_of(MON)
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    assert not names_of(MON)
    code, out, _err = output_of("restore_partition", "--date", MON.isoformat(), "--json")
    assert code == 0
    assert {back["partition"] for back in json.loads(out)} == names
    after = books(), list(Transaction.objects.for_days(MON).values()), list(Entry.objects.for_days(MON).values())
    assert after == before
    assert ledger_verify().problems == []
    assert ledger_verify().archived == []


def test_archiving_twice_archives_once(worked_off: None) -> None:
    output_of("archive_partitions", "--older-than", OLD_ENOUGH)
    count = ArchivedPartition.objects.count()
    code, out, _err = output_of("archive_partitions", "--older-than", OLD_ENOUGH, "--json")
    assert (code, json.loads(out)["archived"]) == (0, [])
    assert ArchivedPartition.objects.count() == count


def test_what_is_not_archived_cannot_be_brought_back(old: None) -> None:
    code, _out, err = output_of("restore_partition", "--date", MON.isoformat())
    assert code == 1
    assert MON.isoformat() in err
