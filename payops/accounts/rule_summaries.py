"""What the posting rules of `fixtures/posting_rules.yaml` say they are for, where they say more than their event does.

A rule keeps its text as it was entered. Extraction does not read fixtures, so the texts we ship stand here too, and
pages show them through `payops.core.retelling`. A test holds the two together.
"""

from typing import Final

from django.utils.translation import gettext_noop as _

SEEDED_SUMMARIES: Final = (
    _("Payment voided"),
    _("Top-up of the settlement account"),
    _("Refund accepted, from pending settlement"),
    _("Refund accepted, from the settlement account"),
    _("Refund failed, back to pending settlement"),
    _("Refund failed, back to the settlement account"),
    _("Refund paid out instead of going back through the channel"),
    _("Refund by payout failed, back in flight"),
    _("Refund by payout returned by the bank, back in flight"),
    _("Escrow payment succeeded, kept until receipt is confirmed"),
    _("Escrow payment confirmed by the payer"),
    _("Subsidy of the institution to a payment"),
    _("Bill taken, cost netted by the channel"),
    _("Merchant-funded discount of a matched line"),
    _("Bank receipt of a channel's settlement"),
    _("Interest on the reserve"),
    _("Bank charge paid from own funds"),
    _("Surplus to the payer, as a refund"),
    _("Surplus to income after the legal period"),
    _("Recovered from the merchant's pending settlement"),
    _("Recovered from the merchant's settlement account"),
    _("To be recovered from the merchant"),
    _("Chargeback taken from the merchant's settlement account"),
    _("Chargeback to be recovered from the merchant"),
    _("Representment won, to the merchant's settlement account"),
    _("Representment won, nothing left to be recovered"),
    _("Representment won, the loss accepted before is taken back"),
    _("Clearing, fee taken from the settlement"),
    _("Clearing, fee charged afterwards"),
    _("Returned fee of a refund paid from the settlement account"),
    _("Returned fee of a refund, off the fees receivable"),
    _("Clearing, fee taken from the prepaid fees"),
    _("Returned fee of a refund, back to the prepaid fees"),
    _("Payout failed, back to the settlement account"),
    _("Payout returned by the bank after success"),
    _("Own funds cover the reserve"),
    _("Post-charged fee collected, from the settlement account"),
    _("Post-charged fee waived by finance"),
    _("Volume discount, to the settlement account"),
    _("D0 advance approved and submitted"),
    _("D0 advance failed, never paid"),
    _("D0 advance returned by the bank after success"),
    _("D0 cleared the day after, both fees taken from the settlement"),
    _("D0 advance squared with the settlement account"),
    _("Profit share of an agent computed at clearing"),
    _("Profit share approved and submitted for payment"),
    _("Profit share paid from own funds"),
    _("Profit share payment failed, payable again"),
    _("Profit share returned by the bank after success"),
    _("Merchant's deposit taken from the settlement account"),
    _("Merchant's deposit released, to the settlement account"),
)
