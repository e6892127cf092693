"""The words printed on a statement, Chinese and English side by side.

They are part of the document, not of the screen: a statement reads the same whoever downloads it and keeps its bytes
when a translation is improved. Changing a word here changes the bytes of statements rebuilt later, so LAYOUT is raised
with it.
"""

from __future__ import annotations

from typing import Final

from payops.accounts.choices import Event
from payops.orders.choices import Kind

LAYOUT: Final = 1

TITLE: Final = "商户结算单 Settlement statement"
TOTALS: Final = "合计 Totals"
FORWARD: Final = "正向交易 Transactions"
REVERSE: Final = "退款与撤销 Refunds and voids"
DISCOUNTS: Final = "商户优惠 Discounts"
ADJUSTMENTS: Final = "调整 Adjustments"
CARRIED: Final = "前期结转 Carried from before"
WITHHELD: Final = "暂缓结算 Withheld"
ITEM: Final = "项目 Item"
VALUE: Final = "内容 Value"

HEAD: Final[dict[str, str]] = {
    "sheet_no": "结算单号 Sheet number",
    "merchant_no": "商户号 Merchant number",
    "merchant_name": "商户名称 Merchant",
    "pay_date": "付款日期 Pay date",
    "own_date": "结算会计日 Accounting date",
    "account": "收款账户 Account",
    "holder": "户名 Account holder",
    "currency": "币种 Currency",
}

FIGURES: Final[dict[str, str]] = {
    "forward_count": "正向交易笔数 Transactions (count)",
    "forward_amount": "正向交易金额 Transactions (amount)",
    "reverse_count": "退款与撤销笔数 Refunds and voids (count)",
    "reverse_amount": "退款与撤销金额 Refunds and voids (amount)",
    "withheld_gross": "其中暂缓部分交易金额 Amount of the withheld part",
    "fee": "手续费 Fee",
    "discount": "商户优惠 Merchant discount",
    "settlement_amount": "结算金额 Settlement amount",
    "adjustment_amount": "调整金额 Adjustments",
    "carried_in": "前期未结转入 Carried from before",
    "withheld_amount": "暂缓结算金额 Withheld",
    "payout_amount": "应付金额 Payout",
    "carried_forward": "结转下期 Carried to the next statement",
}
COUNTS: Final = frozenset({"forward_count", "reverse_count"})

ROW_HEADER: Final = (
    "会计日 Date",
    "交易时间 Time",
    "交易号 Transaction number",
    "商户订单号 Order number",
    "类型 Kind",
    "渠道 Channel",
    "金额 Amount",
    "手续费 Fee",
    "净额 Net",
)
DISCOUNT_HEADER: Final = ("会计日 Date", "渠道 Channel", "优惠金额 Discount")
ADJUSTMENT_HEADER: Final = ("记账时间 Booked at", "事项 What", "参考号 Reference", "金额 Amount")
CARRIED_HEADER: Final = ("付款日期 Pay date", "结算单号 Sheet number", "金额 Amount")
WITHHELD_HEADER: Final = ("会计日 Date", "渠道 Channel", "金额 Amount")

KINDS: Final[dict[int, str]] = {
    Kind.PAYMENT: "支付 Payment",
    Kind.REFUND: "退款 Refund",
    Kind.VOID: "撤销 Void",
    Kind.PREAUTH_COMPLETION: "预授权完成 Pre-authorisation completion",
    Kind.REFUND_RETURN: "退款退回 Refund returned",
    Kind.TOPUP: "充值 Top-up",
}

ADDED_BACK: Final = "已从结算户支付的退款加回 Refunds already paid from the settlement account, added back"
PENDING_EFFECT: Final = "待结算户负余额及其他 Negative balance pending settlement, and other"
OTHER_EVENT: Final = "其他入账 Other booking"
EVENTS: Final[dict[int, str]] = {
    Event.TOPUP: "充值 Top-up",
    Event.REFUND_ACCEPTED_SETTLEMENT: "从结算户退款 Refund paid from the settlement account",
    Event.REFUND_FAILED_SETTLEMENT: "退款失败退回结算户 Failed refund, back to the settlement account",
    Event.REFUND_RETURNED: "退款退回 Refund returned",
    Event.RECOVER_SETTLEMENT: "追偿扣款 Recovery",
    Event.RECOVERY_COLLECTED: "追偿收回 Recovery collected",
}
