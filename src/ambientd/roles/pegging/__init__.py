"""What a member of the peg does: sign, send, and say what is in the chain."""
