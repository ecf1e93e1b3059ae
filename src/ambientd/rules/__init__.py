"""Pure functions that the ledger and the roles share: scheduling, verdicts, rewards, bisection."""
