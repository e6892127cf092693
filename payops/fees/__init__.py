"""Fee packages, rules and the fee engine."""
