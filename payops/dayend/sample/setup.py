"""The set-up file of the sample institution (docs/setup.md): accounts, channels, fee packages, merchants, users."""

from __future__ import annotations

import random
from typing import Any, Final

from payops.dayend.sample.plan import (
    CONTRACTS,
    FEE_TOLERANCE,
    OWN_ACCOUNT,
    RESERVE_ACCOUNT,
    Contract,
    Options,
    merchant_no,
)
from payops.fees.engine import Component

PASSWORDS: Final[dict[str, str]] = {
    name: f"demo-{name}-2026" for name in ("alice", "bob", "dora", "carol", "admin", "mei", "omar")
}
PAYOUT_ENDINGS: Final[dict[int, str]] = {7: "9001", 11: "9002", 13: "9003", 17: "9004", 19: "9005", 23: "9006"}
"""Merchants whose payouts do not simply succeed, and the account ending that makes the simulated bank do so."""
HELD_MERCHANT: Final = 29

_PLACES: Final = (
    "Jade", "Lotus", "Harbour", "Plum", "Cedar", "Lantern", "River", "Cloud", "Amber", "Maple", "Silk", "Orchid",
)  # fmt: skip
_TRADES: Final = (
    "Tea House", "Noodle Bar", "Bookshop", "Pharmacy", "Bakery", "Hotel", "Florist", "Bicycle Shop", "Market",
    "Cinema", "Optician", "Toy Store",
)  # fmt: skip
_BANKS: Final = ("ICBC", "China Merchants Bank", "Bank of China", "China Construction Bank", "Bank of Communications")

FEE_PACKAGES: Final[list[dict[str, Any]]] = [
    {
        "code": "STANDARD",
        "name": "Standard 0.60 %",
        "rules": [
            {"rate": "0.60%", "min": "0.01"},
            {"card_type": "debit", "rate": "0.50%", "max": "20.00"},
        ],
    },
    {"code": "RETAIL", "name": "Retail, fixed and rate", "rules": [{"fixed": "0.10", "rate": "0.38%"}]},
    {
        "code": "BANDS",
        "name": "By amount",
        "rules": [
            {"amount_to": "100.00", "fixed": "0.50"},
            {"amount_from": "100.00", "amount_to": "1000.00", "rate": "0.55%"},
            {"amount_from": "1000.00", "rate": "0.50%", "max": "40.00"},
        ],
    },
    {"code": "KEPT", "name": "0.55 %, kept on refund", "rules": [{"rate": "0.55%", "refund_policy": "kept"}]},
    {
        "code": "WHOLE",
        "name": "0.58 %, returned on full refund",
        "rules": [{"rate": "0.58%", "min": "0.02", "refund_policy": "full"}],
    },
    {
        "code": "CHANNELS",
        "name": "By channel",
        "rules": [
            {"rate": "0.60%"},
            {"channel": "ALIPAY", "rate": "0.55%"},
            {"channel": "UNIONPAY", "card_type": "debit", "rate": "0.45%", "min": "0.05", "max": "18.00"},
        ],
    },
]


def build(options: Options) -> dict[str, Any]:
    """The set-up file as a mapping, deterministic for the options."""
    return {
        "institution": {"name": "Sample Payments", "own_cut_off": "23:00", "base_currency": "CNY"},
        "ledger_start": options.first.isoformat(),
        "business_days": sorted({options.first.year, options.last.year}),
        "bank_accounts": [
            {"code": "RESERVE", "bank_name": "ICBC", "account_no": RESERVE_ACCOUNT, "kind": "reserve"},
            {"code": "OWN", "bank_name": "ICBC", "account_no": OWN_ACCOUNT, "kind": "own"},
        ],
        "fee_packages": FEE_PACKAGES,
        "channels": [_channel(contract) for contract in CONTRACTS],
        "merchants": [_merchant(number, options) for number in range(1, options.merchants + 1)],
        "users": _users(options),
    }


def _channel(contract: Contract) -> dict[str, Any]:
    terms = {
        "code": contract.code,
        "account_no": contract.account_no,
        "bill_format": contract.bill_format,
        "cut_off": "24:00" if contract.cut_off is None else contract.cut_off.strftime("%H:%M"),
        "doubt_margin_minutes": 10,
        "refund_date": "acceptance" if contract.refund_by_acceptance else "completion",
        "cost_mode": "netted",
        "cost": [_cost(card_type, parts) for card_type, parts in contract.costs.items()],
        "fee_tolerance": _major(FEE_TOLERANCE),
        "escalate_after_days": 2,
        "settle_days": 1,
        "reserve_account": "RESERVE",
        "receipt_pattern": rf"{contract.code} settlement (?P<date>\d{{8}})",
    }
    return {"code": contract.code, "name": contract.name, "name_zh": contract.name_zh, "contracts": [terms]}


def _cost(card_type: str, parts: tuple[Component, ...]) -> dict[str, Any]:
    rule: dict[str, Any] = {"card_type": card_type} if card_type else {}
    written = [_component(part) for part in parts]
    if len(written) == 1:
        return rule | written[0]
    names = ("issuer", "network")
    return rule | {"components": [{"name": name, **part} for name, part in zip(names, written, strict=True)]}


def _component(part: Component) -> dict[str, str]:
    written = {"rate": format(part.rate.normalize(), "f")}
    if part.maximum is not None:
        written["max"] = _major(part.maximum)
    return written


def _merchant(number: int, options: Options) -> dict[str, Any]:
    rng = random.Random(f"{options.seed}/merchant/{number}")  # noqa: S311 - reproducible, not secret
    name = f"{rng.choice(_PLACES)} {rng.choice(_TRADES)} {number}"
    package = FEE_PACKAGES[(number - 1) % len(FEE_PACKAGES)]["code"]
    collection = "gross" if number % 10 == 4 else "net"
    # The last tenth belongs to customers that have a merchant already.
    owner = number if number <= -(-options.merchants * 9 // 10) else number - options.merchants * 9 // 10
    products = [product for contract in CONTRACTS for product in contract.products]
    return {
        "merchant_no": merchant_no(number),
        "name": name,
        "type": ("enterprise", "individual", "enterprise", "micro")[number % 4],
        "status": "held" if number == HELD_MERCHANT else "active",
        "customer": {
            "customer_no": f"C{owner:05d}",
            "name": f"Customer {owner} Ltd.",
            "kind": "natural" if owner % 4 == 3 else "legal",
            "certificate_no": f"91310000MA{owner:08d}",
        },
        "products": [{"product": product, "package": package, "collection": collection} for product in products],
        "terms": _terms(number),
        "settlement_account": {
            "bank_name": rng.choice(_BANKS),
            "branch_code": f"1029{rng.randrange(10**8):08d}",
            "holder": f"{name} Ltd.",
            "number": f"622588{number:06d}{PAYOUT_ENDINGS.get(number, f'{number % 9000:04d}')}",
        },
    }


def _terms(number: int) -> dict[str, str]:
    cycle = "T+2" if number % 20 == 6 else "D+1" if number % 20 == 16 else "T+1"
    minimum = {8: "100.00", 12: "1000.00"}.get(number % 25, "1.00")
    return {"cycle": cycle, "minimum_amount": minimum}


def _users(options: Options) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = [
        {"username": "alice", "role": "operations", "name": "Alice Moreau"},
        {"username": "bob", "role": "finance", "name": "Bob Okafor"},
        {"username": "dora", "role": "finance", "name": "Dora Lindqvist"},
        {"username": "carol", "role": "auditor", "name": "Carol Jansen"},
        {"username": "admin", "role": "admin", "name": "Administrator"},
        {"username": "mei", "role": "merchant", "merchant": merchant_no(1), "name": "Mei Lin"},
    ]
    if options.merchants > 1:
        users.append({"username": "omar", "role": "merchant", "merchant": merchant_no(2), "name": "Omar Haddad"})
    return [user | {"password": PASSWORDS[user["username"]]} for user in users]


def _major(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"
