"""payops: the back office of a payment institution."""
