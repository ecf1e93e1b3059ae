"""The embedded regtest chain: Bitcoin Core's validation engine, our mempool, miner and JSON-RPC.

One process, shared by every daemon of one machine: `python -m ambientd.adapters.regtest`.
For development, tests and the demo alone; its coins are worth nothing.
"""
