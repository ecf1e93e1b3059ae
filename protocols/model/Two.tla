---- MODULE Two ----
\* Two epochs: an honest member leaves, another joins; the liar stays.
EXTENDS Log
CONSTANTS h1, h2, h3, h4, va
HonestIs == <<{h1, h2, h3}, {h1, h2, h4}>>
QuorumIs == <<2, 2>>
ValuesAre == {va, Stop, Empty}
Symmetry == Permutations({h1, h2})
====
