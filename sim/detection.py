"""How many tasks a worker that lies now and then does until it is found, by the daemon's rules."""

import math
from collections.abc import Iterator, Sequence
from random import Random

from ambientd.codec.digest import tagged
from ambientd.rules import auditing

LIES_PERMILLE = 10


def tasks_until_replica_differs(seed: int, liars: int, colluders_permille: int = 0) -> list[int]:
    """Count for each liar, where every task is replicated; a colluder as partner backs the lie."""
    chance = Random(f"replicated {seed}")

    def found() -> int:
        return next(done for done in _lies(chance) if chance.randrange(1000) >= colluders_permille)

    return sorted(found() for _ in range(liars))


def tasks_until_audit_differs(seed: int, liars: int) -> list[int]:
    """Count for each liar, where it works alone and is audited at the usual share."""
    chance = Random(f"audited {seed}")

    def found(beacon: bytes) -> int:
        return next(done for done in _lies(chance) if auditing.is_audited(beacon, _task(done)))

    return sorted(found(_beacon(seed, liar)) for liar in range(liars))


def tasks_until_trust_ends(seed: int, liars: int) -> list[int]:
    """Count for each liar, where it has just become trusted; honest answers lengthen its streak."""
    chance = Random(f"trusted {seed}")
    return sorted(_tasks_of_trusted(chance, _beacon(seed, liar)) for liar in range(liars))


def _tasks_of_trusted(chance: Random, beacon: bytes) -> int:
    done, streak, lies = 0, auditing.TRUSTED_STREAK, _lies(chance)
    lie = next(lies)
    while True:
        done += 1
        is_audited = auditing.is_audited(beacon, _task(done), auditing.lone_permille(streak))
        if done == lie:
            if is_audited:
                return done
            lie = next(lies)
        streak += is_audited


def _lies(chance: Random) -> Iterator[int]:
    """Give at which of its tasks a liar lies."""
    done = 0
    while True:
        done += 1 + int(math.log(1 - chance.random()) / math.log(1 - LIES_PERMILLE / 1000))
        yield done


def _beacon(seed: int, liar: int) -> bytes:
    return tagged("ambient/liar", seed.to_bytes(8, "big"), liar.to_bytes(8, "big"))


def _task(number: int) -> bytes:
    return number.to_bytes(8, "big")


def percentile(ascending: Sequence[int], percent: int) -> int:
    """Give the value that so many percent do not exceed."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]
