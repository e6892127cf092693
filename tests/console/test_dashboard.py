"""The dashboard: what needs doing today, for whom, and the way to it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest

from payops.approvals.selectors import pending_for
from payops.console.dashboard import URGENCY, _share
from payops.core.models import JobRun
from payops.discrepancies.choices import OPEN_STATES
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.selectors import open_counts
from payops.discrepancies.services import case_assign
from payops.reconciliation.models import OpenItem
from tests.console.conftest import MON, TUE, Books, address, text_of

Read = Callable[..., str]


def tile(text: str, label: str) -> str:
    """The figure on the tile with this label, or beside it among what is in order."""
    found = re.search(rf"<strong>([^<]*)</strong>\s*<span>{re.escape(label)}</span>", text)
    if found is None:
        found = re.search(rf"c-tone-success[^>]*>{re.escape(label)}(?:: (\w+))</a>", text)
        assert found is not None, label
    return found[1]


def test_it_counts_what_waits_for_the_reader(books: Books, read: Read) -> None:
    assert tile(read("bob", "dashboard"), "Approvals waiting for me") == str(pending_for(books.user("bob")).count())
    assert tile(read("alice", "dashboard"), "Approvals waiting for me") == "0"


def test_it_counts_open_cases_and_leads_to_them(books: Books, read: Read) -> None:
    text = read("alice", "dashboard")
    assert tile(text, "Open cases") == str(open_counts().total)
    assert f'href="{address("case_list")}"' in text


def test_what_is_wrong_stands_before_what_waits_and_what_is_in_order_stands_apart(books: Books, read: Read) -> None:
    text = read("alice", "dashboard")
    tones = re.findall(r'class="c-tile c-tile-(\w+)', text)
    assert tones == sorted(tones, key=URGENCY.index)
    assert "Bills held" in text.split("c-in-order")[1].split("</p>")[0]


def test_cases_in_the_readers_hands_are_counted_apart(books: Books, read: Read) -> None:
    case = Discrepancy.objects.filter(state="open").first()
    case_assign(case_id=case.pk, owner=books.user("alice"), user=books.user("alice"))
    mine = Discrepancy.objects.filter(state__in=OPEN_STATES, owner=books.user("alice")).count()
    text = read("alice", "dashboard")
    assert tile(text, "My cases") == str(mine)
    assert f'href="{address("case_list")}?state=open_states&amp;owner=me"' in text


def test_a_channel_day_says_how_much_is_still_open_and_leads_to_the_workbench(books: Books, read: Read) -> None:
    item = OpenItem.objects.filter(state="definite").select_related("contract").order_by("-first_date").first()
    number = OpenItem.objects.filter(state="definite", contract=item.contract, first_date=item.first_date).count()
    there = f"{address('workbench')}?contract={item.contract.code}&amp;day={item.first_date}"
    assert f'<a class="c-badge c-tone-danger" href="{there}">{number}</a>' in read("alice", "dashboard")


def test_it_says_that_customers_money_is_safe(books: Books, read: Read) -> None:
    assert tile(read("carol", "dashboard"), "Customers&#x27; money") == "safe"


def test_a_channel_without_a_bill_is_counted_and_leads_to_the_upload(books: Books, read: Read) -> None:
    from payops.channels.models import BillFile

    BillFile.objects.filter(channel_date=TUE, contract__code="ALIPAY").update(state="superseded")
    text = read("alice", "dashboard")
    assert tile(text, "Bills missing") == "1"
    assert f"ALIPAY {TUE}" in text


def test_findings_of_the_day_end_are_counted(books: Books, read: Read) -> None:
    from payops.accounts.models import DayFinding

    found = DayFinding.objects.exclude(level="info").count()
    assert tile(read("bob", "dashboard"), "Findings of the day end") == str(found)


def test_every_step_of_a_day_is_shown_with_what_it_waits_for(books: Books, read: Read) -> None:
    text = read("alice", "dashboard")
    assert text.count("c-step-done") >= 20
    assert "The payout batch waits for finance to approve it." in text
    assert f"/console/days/{MON}/" in text or MON.isoformat() in text


def test_operations_send_a_day_on_its_way_as_a_job(books: Books) -> None:
    response = books.client("alice").post(address("day_start"), {"day": TUE.isoformat()})
    job = JobRun.objects.order_by("-id").first()
    assert (job.kind, job.params["day"], job.created_by) == ("dayend.day", TUE.isoformat(), "alice")
    assert response.url == address("job", job.pk)


@pytest.mark.parametrize("day", ["", "yesterday", "2026-13-01"])
def test_a_day_that_is_none_is_refused_with_an_example(books: Books, day: str) -> None:
    before = JobRun.objects.count()
    response = books.client("alice").post(address("day_start"), {"day": day}, follow=True)
    assert "2026-11-20" in text_of(response)
    assert JobRun.objects.count() == before


def test_finance_is_not_offered_to_run_days(books: Books, read: Read) -> None:
    assert address("day_start") in read("alice", "dashboard")
    assert address("day_start") not in read("bob", "dashboard")


def test_before_the_first_day_the_page_says_so(books: Books) -> None:
    from payops.console import dashboard

    assert dashboard.channel_table(dt.date(2026, 1, 1)).rows


def test_a_share_below_everything_is_never_rounded_up_to_everything() -> None:
    assert (_share(9_999_999, 10_000_000), _share(1, 1), _share(0, 0)) == ("99.99 %", "100.00 %", "–")


def test_it_needs_a_fixed_number_of_queries(books: Books, django_assert_max_num_queries: Callable[..., object]) -> None:
    client = books.client("alice")
    with django_assert_max_num_queries(60):
        client.get(address("dashboard"))
    assert Discrepancy.objects.count() > 5


def test_the_navigation_shows_a_reader_only_what_may_be_opened(books: Books, read: Read) -> None:
    text = read("alice", "dashboard")
    for name in ("case_list", "run_list", "trial_balance", "payout_list", "audit_list"):
        assert f'href="{address(name)}"' in text


def test_it_speaks_the_readers_language(books: Books) -> None:
    client = books.client("alice")
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/console/"})
    assert 'lang="zh-hans"' in text_of(client.get(address("dashboard")))
