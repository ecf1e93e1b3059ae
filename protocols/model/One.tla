---- MODULE One ----
\* One epoch: four members, one of them a liar.
EXTENDS Log
CONSTANTS h1, h2, h3, va, vb
HonestIs == <<{h1, h2, h3}>>
QuorumIs == <<2>>
ValuesAre == {va, vb}
Symmetry == Permutations({h1, h2, h3}) \cup Permutations({va, vb})
====
