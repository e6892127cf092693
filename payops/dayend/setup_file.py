"""Loading a set-up file: the declared configuration of an institution brought into the database (docs/setup.md).

One transaction, section by section in the order in which they need each other; every write goes through the services
of its app. A section returns what it created, changed and left alone; nothing is deleted.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import AccountingDay, PostingRule, Subject
from payops.accounts.rule_preview import rules_missing
from payops.channels import services as channels
from payops.channels.choices import BankAccountKind, CostMode, RefundDate
from payops.channels.formats import get_format
from payops.channels.models import BankAccount, Channel
from payops.core import audit
from payops.core.business_days import seed_business_days
from payops.core.errors import PayopsError
from payops.core.institution import institution_update
from payops.core.locks import xact_lock
from payops.core.models import BusinessDay, Institution
from payops.core.money import exponent
from payops.core.upserts import Upserted
from payops.dayend.setup_reader import Fields, SetupError, read_setup
from payops.dayend.setup_report import SetupReport
from payops.dayend.setup_rules import RULE_KEYS, read_rule
from payops.fees import services as fees
from payops.fees.models import FeePackage
from payops.fees.services import FeeRuleData
from payops.identity import services as identity
from payops.identity.choices import MerchantRole, Role
from payops.identity.models import User
from payops.merchants import services as merchants
from payops.merchants.models import Collection, CustomerKind, Merchant, MerchantStatus, MerchantType
from payops.merchants.terms import parse_cycle

TOP_KEYS = (
    "institution",
    "ledger_start",
    "business_days",
    "bank_accounts",
    "fee_packages",
    "channels",
    "merchants",
    "users",
)
INSTITUTION_KEYS = ("name", "own_cut_off", "base_currency")
BANK_KEYS = ("code", "bank_name", "account_no", "kind", "currency")
PACKAGE_KEYS = ("code", "name", "rules")
CHANNEL_KEYS = ("code", "name", "name_zh", "contracts")
CONTRACT_KEYS = (
    "code",
    "account_no",
    "bill_format",
    "format_options",
    "currency",
    "cut_off",
    "doubt_margin_minutes",
    "refund_date",
    "cost_mode",
    "cost_package",
    "cost",
    "fee_tolerance",
    "escalate_after_days",
    "settle_days",
    "reserve_account",
    "receipt_pattern",
    "receivable_allowed",
    "clear_without_run",
    "active",
)
MERCHANT_KEYS = (
    "merchant_no",
    "name",
    "type",
    "status",
    "customer",
    "fees",
    "products",
    "terms",
    "settlement_account",
)
CUSTOMER_KEYS = ("customer_no", "name", "kind", "certificate_no")
PRODUCT_KEYS = ("product", "package", "collection", "effective_from")
TERMS_KEYS = ("cycle", "minimum_amount")
ACCOUNT_KEYS = ("bank_name", "branch_code", "holder", "number")
USER_KEYS = (
    "username",
    "role",
    "merchant",
    "merchant_role",
    "name",
    "email",
    "language",
    "password",
    "reset",
)


def seed_ledger() -> dict[str, Upserted]:
    """Chart, posting rules, classification and the institution's own accounts, as they come with payops; repeatable."""

    def subjects() -> dict[str, tuple[str, str]]:
        return {code: (name, name_zh) for code, name, name_zh in Subject.objects.values_list("code", "name", "name_zh")}

    def rules() -> set[int]:
        return set(PostingRule.objects.values_list("event", flat=True))

    before, rules_before = subjects(), rules()
    ledger.chart_load()
    ledger.posting_rules_load()
    ledger.classification_load()
    ledger.open_institution_accounts()
    after, rules_after = subjects(), rules()
    return {
        "subjects": Upserted(
            created=sorted(set(after) - set(before)),
            changed={code: ["name"] for code in before if after[code] != before[code]},
            unchanged=[code for code in before if after[code] == before[code]],
        ),
        "posting_rules": Upserted(
            created=[Event(event).name for event in sorted(rules_after - rules_before)],
            unchanged=[Event(event).name for event in sorted(rules_before)],
        ),
    }


def load_setup(path: Path, *, username: str = "system", dry_run: bool = False) -> SetupReport:
    """Load a set-up file. All or nothing; the same file again changes nothing.

    Raises SetupError with the path in the file. Two loads at the same time take turns.
    """
    started = time.monotonic()
    root = read_setup(path).known(TOP_KEYS)
    loader = _Loader(root, reason=f"load_setup {path.name}"[:100])
    with transaction.atomic():
        xact_lock("dayend.setup", "load")
        loader.run()
        loader.report.missing = rules_missing().lines()
        if loader.report.touched:
            audit.record(
                username=username,
                action="setup.loaded",
                object_kind="setup_file",
                object_id=path.name[:60],
                detail=loader.report.counts(),
            )
        transaction.set_rollback(dry_run)
    loader.report.dry_run = dry_run
    loader.report.seconds = time.monotonic() - started
    return loader.report


class _Loader:
    """One load: the file, what it refers to, and the report so far."""

    def __init__(self, root: Fields, *, reason: str) -> None:
        self.root = root
        self.reason = reason
        self.report = SetupReport()
        self.start: dt.date | None = root.date("ledger_start", None)
        self._rules: dict[str, list[FeeRuleData]] = {}
        self._names: dict[str, str] = {}
        self._places: dict[tuple[str, Any], str] = {}

    def run(self) -> None:
        """All sections in order."""
        self._institution()
        self._business_days()
        self._ledger()
        self._bank_accounts()
        self._channels()
        self._fees()
        self._contracts()
        self._customers_and_merchants()
        self._products()
        self._terms_and_accounts()
        self._users()

    # -- paths and references ------------------------------------------------------------------------------------------

    def _place(self, kind: str, value: Any, path: str) -> None:
        self._places[kind, value] = path

    @contextmanager
    def _located(self, *kinds: str, within: Mapping[str, str] | None = None) -> Iterator[None]:
        """Give a service's refusal the path of the row it is about, found by its context."""
        try:
            yield
        except SetupError:
            raise
        except PayopsError as error:
            context = error.context
            path = ""
            if "index" in context:
                path = self._places.get(("rule", (context.get("package"), context["index"])), "")
            for kind in kinds:
                path = path or self._places.get((kind, context.get(kind)), "")
            named = str(context.get("field", ""))
            named = (within or {}).get(named, named)
            raise SetupError(error.code, ".".join(filter(None, (path, named))), str(error), context) from error

    def _unique(self, kind: str, fields: Fields, key: str, *, limit: int) -> str:
        value = fields.text(key, limit=limit)
        if (kind, value) in self._places:
            raise fields.error(
                key,
                "setup.duplicate",
                _("“%(value)s” is already at %(path)s.") % {"value": value, "path": self._places[kind, value]},
                value=value,
            )
        self._place(kind, value, fields.path)
        return value

    def _referred(self, fields: Fields, key: str, known: Mapping[str, Any], what: str) -> Any:
        code = fields.text(key)
        if code not in known:
            raise fields.error(
                key,
                "setup.unknown_reference",
                _("there is no %(what)s “%(code)s”, neither in the file nor loaded before.")
                % {"what": what, "code": code},
                value=code,
            )
        return known[code]

    def _currency(self, fields: Fields) -> str:
        return fields.parsed("currency", _currency_code, "CNY")

    def _from_date(self, fields: Fields) -> dt.date:
        day = fields.date("effective_from", self.start)
        if day is None:
            raise fields.error(
                "effective_from", "setup.missing", _("“effective_from” is required, because ledger_start is not given.")
            )
        return day

    @cached_property
    def _package_rows(self) -> dict[str, FeePackage]:
        return {package.code: package for package in FeePackage.objects.all()}

    # -- sections ------------------------------------------------------------------------------------------------------

    def _institution(self) -> None:
        fields = self.root.mapping("institution")
        if fields is None:
            return
        fields.known(INSTITUTION_KEYS)
        wanted = {
            "name": fields.text("name", limit=100),
            "own_cut_off": fields.time("own_cut_off", dt.time(23, 0)),
            "base_currency": fields.parsed("base_currency", _currency_code, "CNY"),
        }
        present = Institution.objects.filter(id=1).first()
        differing = [name for name, value in wanted.items() if present and getattr(present, name) != value]
        if present is None or differing:
            institution_update(**wanted)
        self.report.add("institution", _outcome(wanted["name"], present is None, differing))

    def _business_days(self) -> None:
        for index, value in enumerate(self.root.sequence("business_days")):
            path = f"business_days[{index}]"
            if not _is_year(value):
                raise SetupError("setup.bad_number", path, _("“%s” is not a year such as 2026.") % value)
            year = int(value)
            whole = (dt.date(year + 1, 1, 1) - dt.date(year, 1, 1)).days
            seeded = BusinessDay.objects.filter(day__year=year).count() == whole
            if not seeded:
                self._seed_year(year, path)
            self.report.add("business_days", _outcome(str(year), not seeded, []))

    def _seed_year(self, year: int, path: str) -> None:
        try:
            seed_business_days(year, year)
        except PayopsError as error:
            raise SetupError(error.code, path, str(error), error.context) from error

    def _ledger(self) -> None:
        for section, outcome in seed_ledger().items():
            self.report.add(section, outcome)
        if self.start is None:
            return
        newest = AccountingDay.objects.order_by("-day").first()
        if newest is None:
            with self._located():
                ledger.day_open(self.start)
        self.report.add("accounting_day", _outcome(str(newest.day if newest else self.start), newest is None, []))

    def _bank_accounts(self) -> None:
        wanted = {}
        for fields in self.root.items("bank_accounts", BANK_KEYS):
            code = self._unique("bank_account", fields, "code", limit=27)
            wanted[code] = channels.BankAccountData(
                bank_name=fields.text("bank_name", limit=80),
                account_no=fields.text("account_no", limit=40),
                kind=fields.choice("kind", BankAccountKind.values),
                currency=self._currency(fields),
            )
            self._place("code", code, fields.path)
        with self._located("code"):
            self.report.add("bank_accounts", channels.bank_accounts_upsert(accounts=wanted, reason=self.reason))

    def _channels(self) -> None:
        wanted = {}
        for fields in self.root.items("channels", CHANNEL_KEYS):
            code = self._unique("channel", fields, "code", limit=30)
            wanted[code] = {"name": fields.text("name", limit=80), "name_zh": fields.text("name_zh", "", limit=80)}
        self.report.add("channels", channels.channels_upsert(channels=wanted, reason=self.reason))

    def _fees(self) -> None:
        for fields in self.root.items("fee_packages", PACKAGE_KEYS):
            code = self._unique("package", fields, "code", limit=40)
            self._names[code] = fields.text("name", code, limit=80)
            self._read_rules(code, fields, "rules")
        for channel in self.root.items("channels", CHANNEL_KEYS):
            for contract in channel.items("contracts", CONTRACT_KEYS):
                if contract.has("cost"):
                    if contract.has("cost_package"):
                        raise contract.error("cost", "setup.either_or", _("give either “cost” or “cost_package”."))
                    self._own_package(contract, "COST-", contract.text("code", limit=29), "cost")
        for fields in self.root.items("merchants", MERCHANT_KEYS):
            if fields.has("fees"):
                self._own_package(fields, "FEES-", fields.text("merchant_no", limit=32), "fees")
        packages = fees.fee_packages_upsert(names=self._names, reason=self.reason)
        self.report.add("fee_packages", packages)
        with self._located():
            self.report.add(
                "fee_rules",
                fees.fee_rules_upsert(
                    packages={key[0]: row for key, row in packages.rows.items()}, rules=self._rules, reason=self.reason
                ),
            )

    def _own_package(self, fields: Fields, prefix: str, owner: str, key: str) -> None:
        code = prefix + owner
        if ("package", code) in self._places:
            raise fields.error(
                key,
                "setup.duplicate",
                _("fee package “%(code)s” is already at %(path)s.")
                % {"code": code, "path": self._places["package", code]},
            )
        self._place("package", code, fields.at(key))
        self._names[code] = code
        self._read_rules(code, fields, key)

    def _read_rules(self, code: str, owner: Fields, key: str) -> None:
        listed = self._rules.setdefault(code, [])
        for fields in owner.items(key, RULE_KEYS):
            self._place("rule", (code, len(listed)), fields.path)
            currency = self._currency(fields)
            if fields.has("channel"):
                self._referred(fields, "channel", self._channel_rows, _("channel"))
            listed.append(read_rule(fields, currency=currency, effective_from=self._from_date(fields)))

    @cached_property
    def _channel_rows(self) -> dict[str, Channel]:
        return {channel.code: channel for channel in Channel.objects.all()}

    def _contracts(self) -> None:
        banks = {account.code: account for account in BankAccount.objects.all()}
        wanted = {}
        for channel in self.root.items("channels", CHANNEL_KEYS):
            for fields in channel.items("contracts", CONTRACT_KEYS):
                code = self._unique("contract", fields, "code", limit=29)
                self._place("code", code, fields.path)
                wanted[code] = self._contract(fields, code, self._channel_rows[channel.text("code")], banks)
        with self._located("code"):
            self.report.add("contracts", channels.channel_contracts_upsert(contracts=wanted, reason=self.reason))

    def _contract(
        self, fields: Fields, code: str, channel: Channel, banks: Mapping[str, BankAccount]
    ) -> channels.ContractData:
        currency = self._currency(fields)
        package = None
        if fields.has("cost"):
            package = self._package_rows["COST-" + code]
        elif fields.has("cost_package"):
            package = self._referred(fields, "cost_package", self._package_rows, _("fee package"))
        fields.parsed("bill_format", get_format)
        return channels.ContractData(
            channel=channel,
            account_no=fields.text("account_no", limit=40),
            bill_format=fields.text("bill_format", limit=30),
            cut_off=fields.time("cut_off"),
            reserve_account=self._referred(fields, "reserve_account", banks, _("bank account")),
            currency=currency,
            format_options=_options(fields),
            doubt_margin_minutes=fields.integer("doubt_margin_minutes", 10, high=720),
            refund_date=fields.choice("refund_date", RefundDate.values, RefundDate.COMPLETION.value),
            cost_mode=fields.choice("cost_mode", CostMode.values, CostMode.NETTED.value),
            cost_package=package,
            fee_tolerance=fields.amount("fee_tolerance", currency, 0),
            escalate_after_days=fields.integer("escalate_after_days", 2, high=365),
            settle_days=fields.integer("settle_days", 1, high=365),
            receipt_pattern=fields.text("receipt_pattern", "", limit=200),
            receivable_allowed=fields.flag("receivable_allowed"),
            clear_without_run=fields.flag("clear_without_run"),
            active=fields.flag("active", True),
        )

    # -- merchants -----------------------------------------------------------------------------------------------------

    @cached_property
    def _merchant_fields(self) -> list[tuple[str, Fields]]:
        """The merchants of the file with their numbers."""
        return [
            (self._unique("merchant_no", fields, "merchant_no", limit=32), fields)
            for fields in self.root.items("merchants", MERCHANT_KEYS)
        ]

    def _customers_and_merchants(self) -> None:
        described: dict[str, merchants.CustomerData] = {}
        for merchant_no, fields in self._merchant_fields:
            self._customer(merchant_no, fields, described)
        with self._located("customer_no"):
            outcome = merchants.customers_upsert(customers=described, reason=self.reason)
        self.report.add("customers", outcome)
        wanted = {
            merchant_no: merchants.MerchantData(
                name=fields.text("name", limit=120),
                customer=outcome.rows[(self._customer_no(fields),)],
                merchant_type=fields.choice("type", MerchantType.values, MerchantType.ENTERPRISE.value),
                status=fields.choice("status", MerchantStatus.values, MerchantStatus.ACTIVE.value),
            )
            for merchant_no, fields in self._merchant_fields
        }
        with self._located("merchant_no", within={"customer": "customer.customer_no"}):
            self.report.add("merchants", merchants.merchants_upsert(merchants=wanted, reason=self.reason))

    def _customer_no(self, fields: Fields) -> str:
        nested = fields.mapping("customer")
        if nested is None:
            raise fields.error("customer", "setup.missing", _("“customer” is required."))
        return nested.known(CUSTOMER_KEYS).text("customer_no", limit=40)

    def _customer(self, merchant_no: str, fields: Fields, described: dict[str, merchants.CustomerData]) -> None:
        customer_no = self._customer_no(fields)
        nested = Fields(fields.raw("customer"), fields.at("customer"))
        data = merchants.CustomerData(
            name=nested.text("name", fields.text("name", limit=120), limit=120),
            certificate_no=nested.text("certificate_no", limit=40),
            kind=nested.choice("kind", CustomerKind.values, CustomerKind.LEGAL.value),
        )
        if described.setdefault(customer_no, data) != data:
            raise nested.error(
                "customer_no",
                "setup.customer_differs",
                _("customer %(customer)s is described differently at %(path)s.")
                % {"customer": customer_no, "path": self._places["customer_no", customer_no]},
            )
        self._places.setdefault(("customer_no", customer_no), nested.path)

    @cached_property
    def _merchant_rows(self) -> dict[str, Merchant]:
        return {merchant.merchant_no: merchant for merchant in Merchant.objects.all()}

    def _products(self) -> None:
        wanted: dict[tuple[Merchant, str], merchants.ProductData] = {}
        for merchant_no, fields in self._merchant_fields:
            own = self._package_rows.get("FEES-" + merchant_no)
            for item in fields.items("products", PRODUCT_KEYS):
                product = item.text("product", limit=30)
                key = (self._merchant_rows[merchant_no], product)
                if key in wanted:
                    raise item.error("product", "setup.duplicate", _("“%s” is listed twice.") % product)
                package = (
                    own
                    if own and not item.has("package")
                    else self._referred(item, "package", self._package_rows, _("fee package"))
                )
                wanted[key] = merchants.ProductData(
                    package=package,
                    effective_from=self._from_date(item),
                    collection=item.choice("collection", Collection.values, Collection.NET.value),
                )
        self.report.add("products", merchants.merchant_products_set(products=wanted, reason=self.reason))

    def _terms_and_accounts(self) -> None:
        terms: dict[Merchant, merchants.TermsData] = {}
        accounts: dict[Merchant, merchants.SettlementAccountData] = {}
        for merchant_no, fields in self._merchant_fields:
            merchant = self._merchant_rows[merchant_no]
            nested = fields.mapping("terms") or Fields({}, fields.at("terms"))
            unit, days = nested.known(TERMS_KEYS).parsed("cycle", parse_cycle, ("T", 1))
            terms[merchant] = merchants.TermsData(unit, days, nested.amount("minimum_amount", "CNY", 0))
            account = fields.mapping("settlement_account")
            if account is not None:
                account.known(ACCOUNT_KEYS)
                accounts[merchant] = merchants.SettlementAccountData(
                    bank_name=account.text("bank_name", limit=80),
                    holder=account.text("holder", limit=120),
                    number=account.text("number", limit=40),
                    branch_code=account.text("branch_code", "", limit=20),
                )
        self.report.add("terms", merchants.settlement_terms_set_many(terms=terms, reason=self.reason))
        self.report.add("settlement_accounts", merchants.settlement_accounts_set(accounts=accounts, reason=self.reason))

    # -- users ---------------------------------------------------------------------------------------------------------

    def _users(self) -> None:
        listed = list(self.root.items("users", USER_KEYS))
        present = {
            user.username: user
            for user in User.objects.filter(username__in=[fields.text("username", limit=150) for fields in listed])
        }
        for fields in listed:
            username = self._unique("username", fields, "username", limit=150)
            with self._located("username", within={"merchant_no": "merchant"}):
                self.report.add("users", self._user(fields, username, present.get(username)))

    def _user(self, fields: Fields, username: str, user: User | None) -> Upserted:
        role = fields.choice("role", Role.values)
        merchant_no = ""
        if role == Role.MERCHANT:
            merchant_no = self._referred(fields, "merchant", self._merchant_rows, _("merchant")).merchant_no
        elif fields.has("merchant") or fields.has("merchant_role"):
            key = "merchant" if fields.has("merchant") else "merchant_role"
            raise fields.error(key, "setup.not_a_merchant_user", _("only a user with “role: merchant” has “%s”.") % key)
        wanted = {
            "role": role,
            "merchant_no": merchant_no,
            "merchant_role": fields.choice("merchant_role", MerchantRole.values, MerchantRole.ADMINISTRATOR.value)
            if merchant_no
            else "",
            "full_name": fields.text("name", "", limit=150),
            "email": fields.text("email", "", limit=254),
            "language": fields.text("language", "", limit=10),
        }
        password = fields.text("password", None, limit=128)
        if user is None:
            # The password stands readable in the file, so it is one of a demonstration and not held to the rules.
            identity.user_create(username=username, password=password, check_password=False, **wanted)
            return _outcome(username, True, [])
        differing = identity.user_update(user=user, **wanted)
        if password is not None and fields.flag("reset"):
            identity.user_set_password(user=user, password=password, check=False)
            differing.append("password")
        return _outcome(username, False, differing)


# --- small things -----------------------------------------------------------------------------------------------------


def _outcome(label: str, created: bool, differing: Iterable[str]) -> Upserted:
    changed = list(differing)
    if created:
        return Upserted(created=[label])
    return Upserted(changed={label: changed}) if changed else Upserted(unchanged=[label])


def _currency_code(value: str) -> str:
    exponent(value)
    return value


def _is_year(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and 2004 <= int(value) <= 2200


def _options(fields: Fields) -> dict[str, Any]:
    nested = fields.mapping("format_options")
    if nested is None:
        return {}
    value = fields.raw("format_options")
    return {str(key): item for key, item in value.items() if item is not None}
