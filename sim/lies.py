"""Every lie that a member of the log may tell, named once."""

import random
from enum import Enum


class Lie(Enum):
    """What a liar may do, each by chance."""

    EQUIVOCATE = "proposes several blocks at one position"
    STALE = "proposes on old certificates"
    VOTE_ANYTHING = "votes for whatever it sees"
    HIDE = "times out admitting only an old certificate"
    SELECTIVE = "sends to some and not to others"
    CENSOR = "leaves all records out of its blocks"
    BACKDATE = "dates a block before its parent"
    FALSE_ROOT = "names a state root of its own making"
    SWAP_BODY = "sends other records than the header names"
    GARBAGE = "proposes a record that is not valid"
    REPEAT = "proposes a record twice in one block"
    USURP = "proposes in the terms of others"
    IMPERSONATE = "proposes in the coordinator's name"
    FORGE_CERTIFICATE = "makes up certificates, or signs one as often as it takes"
    FORGE_TIMEOUT = "gives up terms in the name of others"
    THROTTLE = "coordinates as slowly as its term bears"
    WITHHOLD = "shows its blocks to a bare quorum, and gives nobody what it lacks"
    SUBSET = "chooses among signatures: two certificates for one block, the lowest time-outs"
    REPLAY = "says again what others said in other terms and epochs"
    STALL = "lets time stand still: dates its blocks as their parents"


GAMES = (Lie.THROTTLE, Lie.WITHHOLD, Lie.SUBSET, Lie.REPLAY)
"""Lies with nothing made up: what others signed, shown late, to some, in part or again."""
FIRST_LIES = tuple(lie for lie in Lie if lie not in (*GAMES, Lie.STALL))
"""What liars did at first; seeds kept from then mean these."""

CROOKED = (Lie.CENSOR, Lie.BACKDATE, Lie.FALSE_ROOT, Lie.SWAP_BODY, Lie.GARBAGE, Lie.REPEAT)
"""Lies that a proposal itself tells."""
OUT_OF_TURN = (Lie.USURP, Lie.IMPERSONATE, Lie.FORGE_TIMEOUT)


def drawn_lies(first: random.Random, games: random.Random, last: random.Random) -> frozenset[Lie]:
    """Draw a liar's lies, the old ones from the sources that they always came from."""
    lies: set[Lie] = {lie for lie in FIRST_LIES if first.randrange(3)}
    lies |= {lie for lie in GAMES if not games.randrange(3)}
    return frozenset(lies if last.randrange(4) else lies | {Lie.STALL})
