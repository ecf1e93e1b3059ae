"""The peg's addresses: q of n keys, one address an index (protocols/14-peg.md section 2).

A wallet is the descriptor `wsh(sortedmulti(q,XPUB/*,…))`; any program that knows descriptors
derives the same addresses from it. Only public keys are seen here.
"""

import hmac
from functools import lru_cache
from hashlib import sha256, sha512
from typing import Final

from ambientd.codec import secp256k1
from ambientd.model.peg import PegWallet
from ambientd.rules.bitcoin_codec import double_sha256

SIGNERS_MAX: Final = 20  # OP_CHECKMULTISIG takes no more
INDEX_MAX: Final = 2**31 - 1  # above, derivation needs the secret (BIP 32)
_CHECKMULTISIG: Final = 0xAE
_SMALL_NUMBER: Final = 0x50  # OP_1 is the next
_PUSH_NUMBER: Final = b"\x01"
_ALPHABET_58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ALPHABET_32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PREFIXES: Final = {"main": "bc", "testnet4": "tb", "signet": "tb", "regtest": "bcrt"}
_XPUB: Final = bytes.fromhex("0488b21e")
_TPUB: Final = bytes.fromhex("043587cf")
_CHECKED: Final = (
    "0123456789()[],'/*abcdefgh@:$%{}"
    "IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~"
    'ijklmnopqrstuvwxyzABCDEFGH`#"\\ '
)
_CHECKSUM_380: Final = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)
_CHECKSUM_173: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


@lru_cache(maxsize=4096)
def child_key(key: bytes, chain_code: bytes, index: int) -> bytes:
    """Derive the key of an index (BIP 32, public derivation).

    Raises:
        ValueError: for a key that is none, and for the one index in 2^127 that has no key.
    """
    child = secp256k1.add_to_key(key, child_tweak(key, chain_code, index))
    if child is None:
        raise ValueError("the key is no point of the curve, or has no child at this index")
    return child


def child_tweak(key: bytes, chain_code: bytes, index: int) -> int:
    """Give what a child's secret has on top of its parent's.

    Raises:
        ValueError: for an index that needs the parent's secret.
    """
    if not 0 <= index <= INDEX_MAX:
        msg = f"an index lies between 0 and {INDEX_MAX}, this one is {index}"
        raise ValueError(msg)
    tweak = hmac.new(chain_code, key + index.to_bytes(4, "big"), sha512).digest()[:32]
    return int.from_bytes(tweak, "big")


def keys_of(wallet: PegWallet, index: int) -> list[bytes]:
    """Give the keys of one address in the order of its script (BIP 67)."""
    return sorted(child_key(each.key, each.chain_code, index) for each in wallet.signers)


@lru_cache(maxsize=4096)
def witness_script(wallet: PegWallet, index: int) -> bytes:
    """Give the script of one address: so many of these keys sign."""
    keys = keys_of(wallet, index)
    pushed = b"".join(bytes([len(key)]) + key for key in keys)
    return _number(wallet.threshold) + pushed + _number(len(keys)) + bytes([_CHECKMULTISIG])


@lru_cache(maxsize=4096)
def locking_script(wallet: PegWallet, index: int) -> bytes:
    """Give what an output pays to: the hash of the witness script (BIP 141)."""
    return b"\x00\x20" + sha256(witness_script(wallet, index)).digest()


def address(wallet: PegWallet, index: int, network: str) -> str:
    """Give one address as people write it (BIP 173)."""
    prefix = _PREFIXES[network]
    data = [0, *_five_bits(locking_script(wallet, index)[2:])]
    expanded = [*(ord(each) >> 5 for each in prefix), 0, *(ord(each) & 31 for each in prefix)]
    rest = _remainder([*expanded, *data, *bytes(6)], _CHECKSUM_173, 30) ^ 1
    data += [rest >> 5 * (5 - place) & 31 for place in range(6)]
    return prefix + "1" + "".join(_ALPHABET_32[each] for each in data)


def descriptor(wallet: PegWallet, network: str, index: int | None = None) -> str:
    """Give the descriptor of all of a wallet's addresses, or of one, with checksum (BIP 380)."""
    step = "*" if index is None else str(index)
    keys = (f"{extended_key(each.key, each.chain_code, network)}/{step}" for each in wallet.signers)
    text = f"wsh(sortedmulti({wallet.threshold},{','.join(keys)}))"
    return f"{text}#{descriptor_checksum(text)}"


def extended_key(key: bytes, chain_code: bytes, network: str) -> str:
    """Write a key with its chain code as wallets read it: a root, which has no parent (BIP 32)."""
    version = _XPUB if network == "main" else _TPUB
    return _base58_checked(version + bytes(9) + chain_code + key)


def descriptor_checksum(text: str) -> str:
    """Give the eight letters that show a mistyped descriptor.

    Raises:
        ValueError: for a letter that no descriptor has.
    """
    symbols: list[int] = []
    groups: list[int] = []
    for letter in text:
        place = _CHECKED.index(letter)
        symbols.append(place & 31)
        groups.append(place >> 5)
        if len(groups) == 3:
            symbols.append(groups[0] * 9 + groups[1] * 3 + groups[2])
            groups = []
    if groups:
        symbols.append(groups[0] if len(groups) == 1 else groups[0] * 3 + groups[1])
    rest = _remainder([*symbols, *bytes(8)], _CHECKSUM_380, 40) ^ 1
    return "".join(_ALPHABET_32[rest >> 5 * (7 - place) & 31] for place in range(8))


def _remainder(symbols: list[int], generators: tuple[int, ...], bits: int) -> int:
    """Divide by the code's polynomial, five bits a symbol."""
    rest = 1
    for symbol in symbols:
        top = rest >> bits - 5
        rest = (rest & (1 << bits - 5) - 1) << 5 ^ symbol
        for place, generator in enumerate(generators):
            if top >> place & 1:
                rest ^= generator
    return rest


def _number(value: int) -> bytes:
    """Push a small number in its shortest form."""
    return bytes([_SMALL_NUMBER + value]) if value <= 16 else _PUSH_NUMBER + bytes([value])


def _five_bits(data: bytes) -> list[int]:
    padding = -len(data) * 8 % 5
    number = int.from_bytes(data, "big") << padding
    count = (len(data) * 8 + padding) // 5
    return [number >> 5 * (count - 1 - place) & 31 for place in range(count)]


def _base58_checked(data: bytes) -> str:
    data += double_sha256(data)[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = _ALPHABET_58[rest] + text
    return "1" * (len(data) - len(data.lstrip(b"\x00"))) + text
