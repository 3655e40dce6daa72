"""Credits: what they buy, what they cost, and the ledger that never loses one."""
