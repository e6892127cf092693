"""A simulated bank: takes payouts, credits channel settlements, writes statements (docs/bank-simulator.md)."""
