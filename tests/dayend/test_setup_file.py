"""Loading a set-up file: declarative, idempotent, all or nothing, errors with the path in the file."""

from __future__ import annotations

import copy
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from payops.accounts.models import Account, AccountingDay, PostingRule
from payops.channels.models import BankAccount, ChannelContract
from payops.core.institution import get_institution
from payops.core.models import AuditLog
from payops.dayend.setup_file import load_setup
from payops.dayend.setup_reader import SetupError
from payops.dayend.setup_report import SetupReport
from payops.fees.models import FeePackage, FeeRule
from payops.identity.models import User
from payops.merchants.models import Customer, Merchant, MerchantProduct, SettlementAccount, SettlementTerms

pytestmark = pytest.mark.django_db

HISTORIES = (FeePackage, FeeRule, Customer, Merchant, MerchantProduct, SettlementTerms, SettlementAccount)

SETUP: dict[str, Any] = {
    "institution": {"name": "Test Payments", "own_cut_off": "23:00"},
    "ledger_start": "2026-11-20",
    "business_days": ["2026"],
    "bank_accounts": [
        {"code": "RES-1", "bank_name": "ICBC", "account_no": "0200001", "kind": "reserve"},
        {"code": "OWN-1", "bank_name": "ICBC", "account_no": "0200002", "kind": "own"},
    ],
    "fee_packages": [
        {
            "code": "STD",
            "name": "Standard",
            "rules": [{"rate": "0.60%", "min": "0.01"}, {"card_type": "debit", "rate": "0.0050", "max": "20.00"}],
        }
    ],
    "channels": [
        {
            "code": "WECHAT",
            "name": "WeChat Pay",
            "name_zh": "微信支付",
            "contracts": [
                {
                    "code": "WECHAT-1",
                    "account_no": "1699999901",
                    "bill_format": "wechat_trade",
                    "cut_off": "24:00",
                    "refund_date": "acceptance",
                    "cost": [{"rate": "0.30%"}],
                    "fee_tolerance": "0.01",
                    "reserve_account": "RES-1",
                    "receipt_pattern": r"WECHAT (?P<date>\d{8})",
                }
            ],
        },
        {
            "code": "UNIONPAY",
            "name": "UnionPay",
            "contracts": [
                {
                    "code": "UNIONPAY-1",
                    "account_no": "777290058999901",
                    "bill_format": "unionpay_zm",
                    "cut_off": "23:00",
                    "reserve_account": "RES-1",
                    "cost": [
                        {
                            "card_type": "debit",
                            "components": [
                                {"name": "issuer", "rate": "0.35%", "max": "13.00"},
                                {"name": "network", "rate": "0.0325%", "max": "3.25"},
                            ],
                        },
                        {
                            "card_type": "credit",
                            "components": [
                                {"name": "issuer", "rate": "0.45%"},
                                {"name": "network", "rate": "0.0325%", "max": "3.25"},
                            ],
                        },
                    ],
                }
            ],
        },
    ],
    "merchants": [
        {
            "merchant_no": "M-A",
            "name": "Tea House",
            "customer": {"customer_no": "C-A", "name": "Tea House Ltd.", "certificate_no": "91110000MA00000001"},
            "products": [{"product": "jsapi", "package": "STD"}],
            "terms": {"cycle": "T+1", "minimum_amount": "1.00"},
            "settlement_account": {"bank_name": "CMB", "holder": "Tea House Ltd.", "number": "6225880000000001"},
        },
        {
            "merchant_no": "M-B",
            "name": "Book Shop",
            "customer": {"customer_no": "C-B", "certificate_no": "91110000MA00000002"},
            "fees": [{"rate": "0.38%"}],
            "products": [{"product": "card", "collection": "gross"}],
        },
    ],
    "users": [
        {"username": "alice", "role": "operations", "name": "Alice", "password": "demo-alice-2026"},
        {"username": "mei", "role": "merchant", "merchant": "M-A", "password": "demo-mei-2026"},
    ],
}


@pytest.fixture
def setup() -> dict[str, Any]:
    return copy.deepcopy(SETUP)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., SetupReport]:
    def run(content: Any, **options: Any) -> SetupReport:
        file = tmp_path / "setup.yaml"
        text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
        file.write_text(text, encoding="utf-8")
        return load_setup(file, **options)

    return run


def history_rows() -> int:
    return sum(model.history.count() for model in HISTORIES)


# --- what a load makes ------------------------------------------------------------------------------------------------


def test_a_load_makes_everything_the_file_says(load: Any, setup: dict[str, Any]) -> None:
    report = load(setup)
    made = {name: len(part.created) for name, part in report.sections.items()}
    assert made["merchants"] == 2
    assert made["fee_rules"] == 6
    assert made["contracts"] == 2
    assert made["users"] == 2
    assert get_institution().name == "Test Payments"
    assert AccountingDay.objects.get().day == dt.date(2026, 11, 20)
    contract = ChannelContract.objects.get(code="WECHAT-1")
    assert (contract.cut_off, contract.fee_tolerance, contract.cost_package.code) == (dt.time(0), 1, "COST-WECHAT-1")
    assert MerchantProduct.objects.get(merchant__merchant_no="M-B").package.code == "FEES-M-B"
    assert SettlementTerms.objects.get(merchant__merchant_no="M-A").minimum_amount == 100


def test_a_load_seeds_chart_and_posting_rules_and_opens_ledger_accounts(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    assert PostingRule.objects.exists()
    owners = set(Account.objects.values_list("owner_no", flat=True))
    assert {"M-A", "M-B", "WECHAT-1", "UNIONPAY-1", "RES-1", "OWN-1", ""} <= owners


def test_the_card_scheme_of_the_file_is_the_golden_one(load: Any, setup: dict[str, Any]) -> None:
    from payops.fees.engine import RuleBook

    load(setup)
    book = RuleBook.load(dt.date(2026, 11, 20))
    costs = [
        book.fee_for(
            "COST-UNIONPAY-1",
            product="card",
            channel="UNIONPAY",
            card_type=card,
            kind="payment",
            currency="CNY",
            amount=1_000_000,
            day=dt.date(2026, 11, 20),
        ).fee
        for card in ("debit", "credit")
    ]
    assert costs == [1300 + 325, 4500 + 325]


def test_users_get_their_role_and_log_in_with_the_demonstration_password(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    mei = User.objects.get(username="mei")
    assert (mei.role, mei.merchant_no, mei.merchant_role, mei.is_staff) == ("merchant", "M-A", "administrator", False)
    assert mei.check_password("demo-mei-2026")


def test_the_example_of_the_documentation_loads(load: Any) -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "setup.md").read_text(encoding="utf-8")
    assert load(page.split("```yaml\n")[1].split("```")[0]).touched


def test_plain_values_are_text_not_what_yaml_guesses(load: Any, setup: dict[str, Any]) -> None:
    plain = yaml.safe_dump(setup, allow_unicode=True).replace("'0200001'", "0200001").replace("'23:00'", "23:00")
    assert "account_no: 0200001\n" in plain
    load(plain)
    assert BankAccount.objects.get(code="RES-1").account_no == "0200001"
    assert get_institution().own_cut_off == dt.time(23)


def test_a_part_of_a_file_loads_alone(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    report = load({"users": [{"username": "bob", "role": "finance"}]})
    assert report.sections["users"].created == ["bob"]
    assert not User.objects.get(username="bob").has_usable_password()


# --- loading again ----------------------------------------------------------------------------------------------------


def test_the_same_file_again_changes_nothing(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    rows, logged = history_rows(), AuditLog.objects.count()
    password = User.objects.get(username="mei").password
    report = load(setup)
    assert not report.touched
    assert all(part.unchanged for part in report.sections.values())
    assert (history_rows(), AuditLog.objects.count()) == (rows, logged)
    assert User.objects.get(username="mei").password == password


def test_one_changed_value_changes_one_row_and_writes_its_history(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    rows = history_rows()
    setup["merchants"][0]["name"] = "Tea Palace"
    report = load(setup)
    assert {name: part.changed for name, part in report.sections.items() if part.changed} == {
        "merchants": {"M-A": ["name"]}
    }
    assert history_rows() == rows + 1
    newest = Merchant.history.filter(merchant_no="M-A").latest()
    assert (newest.name, newest.history_change_reason) == ("Tea Palace", "load_setup setup.yaml")


def test_a_new_settlement_account_replaces_the_old(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    setup["merchants"][0]["settlement_account"]["number"] = "6225880000000009"
    assert load(setup).sections["settlement_accounts"].changed == {"M-A": ["number"]}
    states = SettlementAccount.objects.order_by("id").values_list("state", flat=True)
    assert list(states) == ["replaced", "active"]


def test_a_changed_contract_keeps_its_former_terms_in_history(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    setup["channels"][0]["contracts"][0]["settle_days"] = "2"
    assert load(setup).sections["contracts"].changed == {"WECHAT-1": ["settle_days"]}
    kept = ChannelContract.history.filter(code="WECHAT-1").order_by("history_id").values_list("settle_days", flat=True)
    assert list(kept) == [1, 2]


def test_a_password_is_set_again_only_on_request(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    setup["users"][1]["password"] = "another-one-2026"
    assert not load(setup).touched
    setup["users"][1]["reset"] = "true"
    assert load(setup).sections["users"].changed == {"mei": ["password"]}
    assert User.objects.get(username="mei").check_password("another-one-2026")


def test_a_later_accounting_day_is_left_alone(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    setup["ledger_start"] = "2026-11-01"
    for rules in (setup["fee_packages"][0]["rules"], setup["merchants"][1]["fees"]):
        for rule in rules:
            rule["effective_from"] = "2026-11-20"
    for channel in setup["channels"]:
        for rule in channel["contracts"][0]["cost"]:
            rule["effective_from"] = "2026-11-20"
    for merchant in setup["merchants"]:
        merchant["products"][0]["effective_from"] = "2026-11-20"
    assert not load(setup).touched
    assert AccountingDay.objects.count() == 1


def test_what_the_file_no_longer_names_stays(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    del setup["merchants"][1]
    assert not load(setup).touched
    assert Merchant.objects.filter(merchant_no="M-B").exists()


def test_a_dry_run_reports_and_writes_nothing(load: Any, setup: dict[str, Any]) -> None:
    assert load(setup, dry_run=True).touched
    assert not Merchant.objects.exists()
    assert not AccountingDay.objects.exists()


def test_a_load_that_changed_something_is_in_the_audit_log(load: Any, setup: dict[str, Any]) -> None:
    load(setup, username="alice")
    entry = AuditLog.objects.get(action="setup.loaded")
    assert (entry.username, entry.object_id) == ("alice", "setup.yaml")
    assert entry.detail["merchants"] == {"created": 2, "changed": 0, "unchanged": 0}


def test_the_number_of_statements_does_not_grow_with_the_merchants(load: Any, setup: dict[str, Any]) -> None:
    def statements(first: int, count: int) -> int:
        setup["merchants"] = [
            {
                "merchant_no": f"M-{number}",
                "name": f"Shop {number}",
                "customer": {"customer_no": f"C-{number}", "certificate_no": f"X{number}"},
                "products": [{"product": "jsapi", "package": "STD"}],
                "settlement_account": {"bank_name": "CMB", "holder": "Shop", "number": str(number)},
            }
            for number in range(first, first + count)
        ]
        del setup["users"][:]
        with CaptureQueriesContext(connection) as queries:
            load(setup)
        return len(queries)

    load(setup)
    assert statements(100, 5) == statements(200, 50)


# --- what is refused --------------------------------------------------------------------------------------------------


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the file at a path such as merchants.0.name; `...` removes the key."""

    def change(setup: dict[str, Any]) -> None:
        node: Any = setup
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            node = node[step]
        if value is ...:
            del node[last]
        elif isinstance(node, list) and last == len(node):
            node.append(value)
        else:
            node[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        (put("merchant", []), "setup.unknown_key", "merchant"),
        (put("merchants.1.fees.0.rat", "0.1"), "setup.unknown_key", "merchants[1].fees[0].rat"),
        (put("merchants.1.fees.0.rate", "abc"), "fees.bad_rate", "merchants[1].fees[0].rate"),
        (put("merchants.1.fees.0.rate", "1.5"), "fees.bad_rate", "merchants[1].fees[0].rate"),
        (put("merchants.1.fees.0.min", "0.001"), "money.too_many_decimals", "merchants[1].fees[0].min"),
        (put("merchants.1.fees.0.fixed", "-1"), "setup.negative", "merchants[1].fees[0].fixed"),
        (put("merchants.1.fees.0", {"min": "2", "max": "1"}), "fees.min_above_max", "merchants[1].fees[0].min"),
        (put("merchants.1.fees.0", {"kind": "payment"}), "setup.missing", "merchants[1].fees[0].rate"),
        (put("merchants.1.fees.0.free", "true"), "setup.either_or", "merchants[1].fees[0].free"),
        (put("merchants.1.fees.0.kind", "payments"), "setup.bad_choice", "merchants[1].fees[0].kind"),
        (put("merchants.1.fees.0.channel", "NOPE"), "setup.unknown_reference", "merchants[1].fees[0].channel"),
        (put("merchants.1.fees.0.currency", "XXX"), "money.unknown_currency", "merchants[1].fees[0].currency"),
        (put("merchants.1.fees.0.effective_to", "2026-11-20"), "fees.bad_period", "merchants[1].fees[0].effective_to"),
        (put("merchants.1.fees.1", {"rate": "0.1"}), "fees.twice", "merchants[1].fees[1]"),
        (put("fee_packages.0.rules.2", {"product": "jsapi", "rate": "0"}), "fees.tie", "fee_packages[0].rules[2]"),
        (put("merchants.0.products.0.package", "NOPE"), "setup.unknown_reference", "merchants[0].products[0].package"),
        (put("merchants.0.products.0.package", ...), "setup.missing", "merchants[0].products[0].package"),
        (put("merchants.1.merchant_no", "M-A"), "setup.duplicate", "merchants[1].merchant_no"),
        (put("merchants.1.customer.certificate_no", "91110000MA00000001"), "merchants.certificate_taken",
         "merchants[1].customer.certificate_no"),
        (put("merchants.1.customer.customer_no", "C-A"), "setup.customer_differs", "merchants[1].customer.customer_no"),
        (put("merchants.0.terms.cycle", "weekly"), "merchants.bad_cycle", "merchants[0].terms.cycle"),
        (put("merchants.0.status", "gone"), "setup.bad_choice", "merchants[0].status"),
        (put("merchants.0.customer", ...), "setup.missing", "merchants[0].customer"),
        (put("merchants.0.name", "x" * 121), "setup.too_long", "merchants[0].name"),
        (put("merchants.0.name", ["x"]), "setup.not_a_value", "merchants[0].name"),
        (put("merchants.0", "M-A"), "setup.not_a_mapping", "merchants[0]"),
        (put("merchants", {"a": "b"}), "setup.not_a_list", "merchants"),
        (put("channels.0.contracts.0.cut_off", "25:00"), "setup.bad_time", "channels[0].contracts[0].cut_off"),
        (put("channels.0.contracts.0.bill_format", "csv"), "bill.unknown_format",
         "channels[0].contracts[0].bill_format"),
        (put("channels.0.contracts.0.reserve_account", "OWN-1"), "channels.not_a_reserve_account",
         "channels[0].contracts[0].reserve_account"),
        (put("channels.0.contracts.0.receipt_pattern", "(("), "channels.bad_pattern",
         "channels[0].contracts[0].receipt_pattern"),
        (put("channels.0.contracts.0.receipt_pattern", "WECHAT"), "channels.bad_pattern",
         "channels[0].contracts[0].receipt_pattern"),
        (put("channels.0.contracts.0.cost_package", "STD"), "setup.either_or", "channels[0].contracts[0].cost"),
        (put("channels.0.contracts.0.settle_days", "soon"), "setup.bad_number",
         "channels[0].contracts[0].settle_days"),
        (put("channels.0.contracts.0.active", "perhaps"), "setup.bad_switch", "channels[0].contracts[0].active"),
        (put("bank_accounts.1.account_no", "0200001"), "channels.account_number_taken", "bank_accounts[1].account_no"),
        (put("ledger_start", "2026-02-30"), "setup.bad_date", "ledger_start"),
        (put("business_days.0", "soon"), "setup.bad_number", "business_days[0]"),
        (put("business_days.0", "2150"), "business_days.unknown_year", "business_days[0]"),
        (put("users.0.role", "boss"), "setup.bad_choice", "users[0].role"),
        (put("users.1.merchant", "M-X"), "setup.unknown_reference", "users[1].merchant"),
        (put("users.0.merchant", "M-A"), "setup.not_a_merchant_user", "users[0].merchant"),
        (put("users.1.username", "alice"), "setup.duplicate", "users[1].username"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path_and_loads_nothing(
    load: Any, setup: dict[str, Any], change: Callable[[dict[str, Any]], None], code: str, path: str
) -> None:
    change(setup)
    with pytest.raises(SetupError) as caught:
        load(setup)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert str(caught.value).startswith(path)
    assert not Merchant.objects.exists()
    assert not BankAccount.objects.exists()
    assert not AccountingDay.objects.exists()


def test_an_unknown_key_proposes_the_nearest_known_one(load: Any, setup: dict[str, Any]) -> None:
    setup["merchants"][0]["setlement_account"] = {}
    with pytest.raises(SetupError, match="settlement_account"):
        load(setup)


def test_a_key_written_twice_is_refused_with_its_line(load: Any) -> None:
    with pytest.raises(SetupError, match="line 3") as caught:
        load("institution:\n  name: A\n  name: B\n")
    assert caught.value.code == "setup.not_yaml"


@pytest.mark.parametrize(
    "content", ["", "- a\n- b\n", "just text", "a: [1, 2", "a: !!python/object:os.system x", "[" * 20_000]
)
def test_what_is_no_set_up_file_is_refused(load: Any, content: str) -> None:
    with pytest.raises(SetupError):
        load(content)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "setup.yaml"
    file.write_bytes(bytes(range(256)) * 12_000)
    with pytest.raises(SetupError) as caught:
        load_setup(file)
    assert caught.value.code == "setup.not_yaml"


def test_changing_what_a_rule_in_force_charges_is_refused_with_its_path(load: Any, setup: dict[str, Any]) -> None:
    load(setup)
    setup["merchants"][1]["fees"][0]["rate"] = "0.40%"
    with pytest.raises(SetupError) as caught:
        load(setup)
    assert (caught.value.code, caught.value.path) == ("fees.in_force", "merchants[1].fees[0].components")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_what_it_did(tmp_path: Path, setup: dict[str, Any]) -> None:
    file = tmp_path / "setup.yaml"
    file.write_text(yaml.safe_dump(setup), encoding="utf-8")
    out = io.StringIO()
    call_command("load_setup", str(file), stdout=out)
    assert "created merchants: M-A, M-B" in out.getvalue()


def test_the_command_prints_json_on_request(tmp_path: Path, setup: dict[str, Any]) -> None:
    file = tmp_path / "setup.yaml"
    file.write_text(yaml.safe_dump(setup), encoding="utf-8")
    out = io.StringIO()
    call_command("load_setup", str(file), json=True, stdout=out)
    printed = json.loads(out.getvalue())
    assert printed["ok"]
    assert printed["sections"]["merchants"]["created"] == ["M-A", "M-B"]


def test_the_command_fails_with_the_path_of_the_mistake(tmp_path: Path, setup: dict[str, Any]) -> None:
    setup["merchants"][0]["nam"] = "x"
    file = tmp_path / "setup.yaml"
    file.write_text(yaml.safe_dump(setup), encoding="utf-8")
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"merchants\[0\]\.nam") as caught:
        call_command("load_setup", str(file), json=True, stdout=out)
    assert caught.value.returncode == 1
    assert json.loads(out.getvalue())["error"]["context"]["path"] == "merchants[0].nam"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(CommandError, match=r"nowhere\.yaml"):
        call_command("load_setup", "/nowhere.yaml")
