"""What PostgreSQL itself refuses about matching, whoever asks: attacked by raw SQL (docs/matching.md names each)."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from payops.reconciliation.models import MatchGroup, MatchLink, MatchMember, MatchRule
from tests.reconciliation.builders import MON, TUE, Town, line, pay
from tests.reconciliation.test_matching import part, rule

GROUP = (
    "INSERT INTO reconciliation_matchgroup (contract_id, kind, own_amount, channel_amount, difference, rule_id, why,"
    " approval_id, run_id, made_by, made_at)"
    " SELECT contract_id, %s, %s, %s, %s, %s, '{}', 1, run_id, 'x', now() FROM reconciliation_matchgroup LIMIT 1"
    " RETURNING id"
)
MEMBER = "INSERT INTO reconciliation_matchmember (group_id, side, row_id, amount, is_live) VALUES "


@pytest.fixture
def grouped(town: Town) -> Town:
    """A split payment of Monday, a carried link of Tuesday, and one order and one line that stand alone."""
    rule(town, amount_tolerance=50)
    orders = [pay("1", MON), pay("2", MON, "22:58:00"), pay("8", MON)]
    town.day(MON, orders, [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    town.day(TUE, [], [line("R-2", TUE, "00:00:30"), line("R-9", TUE, amount=9_970)])
    return town


def attack(*statements: tuple[str, list[object]]) -> str:
    """Run the statements; the name of the constraint that stops them, or what the refusal says."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        play(statements)
    return caught.value.__cause__.diag.constraint_name or str(caught.value)


def play(statements: tuple[tuple[str, list[object]], ...]) -> None:
    """One after the other, GROUP standing for the id the first one made; then everything deferred is checked."""
    group = None
    with connection.cursor() as cursor:
        for statement, params in statements:
            cursor.execute(statement, [group if param is GROUP else param for param in params])
            if "RETURNING" in statement:
                group = cursor.fetchone()[0]
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def row_of(key: str) -> int:
    """The transaction or line behind an open item."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(transaction_id, bill_line_id) FROM reconciliation_openitem WHERE match_key = %s"
            " AND state = 'definite'",
            [key],
        )
        return cursor.fetchone()[0]


def by_hand(own: int, channel: int, *, own_worth: int, channel_worth: int, rule_id: int | None = None) -> str:
    """A group of one and one, by raw SQL."""
    difference = channel_worth - own_worth
    return attack(
        (GROUP, ["by_hand", own_worth, channel_worth, difference, rule_id]),
        (
            MEMBER + "(%s, 'own', %s, %s, true), (%s, 'channel', %s, %s, true)",
            [GROUP, own, own_worth, GROUP, channel, channel_worth],
        ),
    )


def test_a_claimed_row_is_claimed_by_no_second_group(grouped: Town) -> None:
    own = MatchMember.objects.get(side="own")
    line_id = row_of("R-9")
    name = by_hand(own.row_id, line_id, own_worth=10_000, channel_worth=9_970, rule_id=MatchRule.objects.get().pk)
    assert name == "match_member_claims_once"


def test_a_row_with_a_link_is_claimed_by_no_group(grouped: Town) -> None:
    linked = MatchLink.objects.get().transaction_id
    name = by_hand(linked, row_of("R-9"), own_worth=10_000, channel_worth=9_970, rule_id=MatchRule.objects.get().pk)
    assert name == "match_member_claims_once"


@pytest.mark.parametrize("side", ["own", "channel"])
def test_a_member_of_a_group_is_linked_by_no_link(grouped: Town, side: str) -> None:
    claimed = MatchMember.objects.filter(side=side).first().row_id
    own, line_id = (claimed, row_of("R-9")) if side == "own" else (row_of("R-8"), claimed)
    statement = (
        "INSERT INTO reconciliation_matchlink (contract_id, transaction_id, bill_line_id, why) VALUES (%s, %s, %s, 'x')"
    )
    assert attack((statement, [grouped.contract.pk, own, line_id])) == "match_member_claims_once"


def test_a_member_is_worth_what_its_row_is(grouped: Town) -> None:
    assert by_hand(row_of("R-8"), row_of("R-9"), own_worth=9_970, channel_worth=9_970) == "match_member_is_its_row"


def test_a_row_that_is_not_there_is_no_member(grouped: Town) -> None:
    name = by_hand(row_of("R-8") + 500, row_of("R-9"), own_worth=10_000, channel_worth=9_970)
    assert name in ("match_member_is_its_row", "match_group_is_exact_or_tolerated")


def test_a_group_that_differs_needs_a_rule(grouped: Town) -> None:
    name = by_hand(row_of("R-8"), row_of("R-9"), own_worth=10_000, channel_worth=9_970)
    assert name == "match_group_is_exact_or_tolerated"


def test_a_group_differs_by_no_more_than_its_rule_tolerates(grouped: Town) -> None:
    strict = rule(grouped, amount_tolerance=29)
    name = by_hand(row_of("R-8"), row_of("R-9"), own_worth=10_000, channel_worth=9_970, rule_id=strict.pk)
    assert name == "match_group_within_tolerance"


def test_the_rule_of_another_channel_tolerates_nothing(grouped: Town) -> None:
    other = MatchRule.objects.create(
        contract=grouped.world.alipay, version=1, effective_from=MON, amount_tolerance=50, made_by="x", approval_id=1
    )
    name = by_hand(row_of("R-8"), row_of("R-9"), own_worth=10_000, channel_worth=9_970, rule_id=other.pk)
    assert name == "match_group_within_tolerance"


def test_a_group_has_members(grouped: Town) -> None:
    assert attack((GROUP, ["by_hand", 1, 1, 0, None])) == "match_members_make_the_group"


def test_members_add_up_to_their_group(grouped: Town) -> None:
    group = MatchGroup.objects.get()
    statement = MEMBER + "(%s, 'channel', %s, 9970, true)"
    assert attack((statement, [group.pk, row_of("R-9")])) == "match_members_make_the_group"


def test_a_split_has_one_order_and_several_lines(grouped: Town) -> None:
    name = attack(
        (GROUP, ["split", 10_000, 0, -10_000, None]), (MEMBER + "(%s, 'own', %s, 10000, true)", [GROUP, row_of("R-8")])
    )
    assert name == "match_group_is_exact_or_tolerated"


def test_a_match_by_hand_has_a_request(grouped: Town) -> None:
    statement = GROUP.replace("'{}', 1, run_id", "'{}', NULL, run_id")
    assert attack((statement, ["by_hand", 1, 1, 0, None])) == "match_group_by_a_run_or_approved"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reconciliation_matchgroup SET own_amount = own_amount + 1, channel_amount = channel_amount + 1",
        "DELETE FROM reconciliation_matchgroup",
        "UPDATE reconciliation_matchmember SET row_id = row_id + 1",
        "UPDATE reconciliation_matchmember SET is_live = false",
        "DELETE FROM reconciliation_matchmember",
        "TRUNCATE reconciliation_matchmember",
        "UPDATE reconciliation_matchrule SET amount_tolerance = 1000000",
        "DELETE FROM reconciliation_matchrule",
    ],
)
def test_claims_and_rules_are_never_changed_or_removed(grouped: Town, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert "refused" in (said := attack((statement, []))) or "never changes" in said


def test_what_has_ended_comes_back_by_nothing(grouped: Town) -> None:
    grouped.bill(MON, part("X-1", "R-1", MON, 6_000))
    grouped.run(MON)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert "never changes" in attack(("UPDATE reconciliation_matchmember SET is_live = true", []))
    assert "append" in (said := attack(("DELETE FROM reconciliation_matchend", []))) or "refused" in said
