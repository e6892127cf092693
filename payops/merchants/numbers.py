"""How account and certificate numbers are written and searched: the plain form before encryption and blind index."""

import re

CERTIFICATE_PURPOSE = "customer.certificate"
ACCOUNT_PURPOSE = "settlement_account.number"


def normalise_number(value: str) -> str:
    """Account and certificate numbers as they are compared: no blanks or dashes, capital letters."""
    return re.sub(r"[\s-]", "", value).upper()
