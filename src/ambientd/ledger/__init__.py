"""The ledger: what the log's records mean, as pure functions over a flat map of frozen values."""
