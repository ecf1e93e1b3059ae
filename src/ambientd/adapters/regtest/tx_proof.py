"""Merkle proofs as Bitcoin Core's `gettxoutproof` writes them (BIP 37's merkleblock)."""

from collections.abc import Collection, Sequence

from ambientd.rules.bitcoin import compact_size, double_sha256


def encode_tx_proof(header: bytes, txids: Sequence[bytes], wanted: Collection[bytes]) -> bytes:
    """Write the part of a Merkle tree that shows some of its transactions."""
    levels = [list(txids)]
    while len(levels[-1]) > 1:
        last = levels[-1]
        levels.append(
            [
                double_sha256(last[at] + last[min(at + 1, len(last) - 1)])
                for at in range(0, len(last), 2)
            ]
        )
    flags: list[bool] = []
    hashes: list[bytes] = []

    def walk(level: int, place: int) -> None:
        below = txids[place << level : (place + 1) << level]
        leads_to_wanted = any(txid in wanted for txid in below)
        flags.append(leads_to_wanted)
        if level == 0 or not leads_to_wanted:
            hashes.append(levels[level][place])
            return
        walk(level - 1, 2 * place)
        if 2 * place + 1 < len(levels[level - 1]):
            walk(level - 1, 2 * place + 1)

    walk(len(levels) - 1, 0)
    packed = bytearray((len(flags) + 7) // 8)
    for number, flag in enumerate(flags):
        packed[number >> 3] |= flag << (number & 7)
    return (
        header
        + len(txids).to_bytes(4, "little")
        + (compact_size(len(hashes)) + b"".join(hashes))
        + (compact_size(len(packed)) + packed)
    )
