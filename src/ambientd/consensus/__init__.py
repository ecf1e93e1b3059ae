"""The log that survives liars: proposals, votes, certificates, epochs, as one sans-IO core."""
