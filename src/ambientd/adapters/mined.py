"""Transactions as a chain gives them: a miner may have taken longer ones than nodes pass on."""

import trio

from ambientd.rules.bitcoin import (
    MINED_SIZE_MAX,
    TRANSACTION_SIZE_MAX,
    Transaction,
    decode_transaction,
)


async def mined_transaction(raw: bytes) -> Transaction:
    """Read a transaction of any length that a Bitcoin block can hold.

    Raises:
        RemoteProtocolError: when the bytes are not exactly one well-formed transaction.
    """
    if len(raw) <= TRANSACTION_SIZE_MAX:
        return decode_transaction(raw)
    # Millions of pieces of a witness take seconds, in which the node has other things to do.
    return await trio.to_thread.run_sync(decode_transaction, raw, MINED_SIZE_MAX)
