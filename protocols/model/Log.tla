------------------------------- MODULE Log -------------------------------
(***************************************************************************)
(* The log of protocols/05: votes, time-outs, commits, crashes, epochs.    *)
(*                                                                         *)
(* A chain is a sequence of blocks <<epoch, term, value>>; the position of *)
(* a chain is <<term, index>> of its last block within its epoch.  Members *)
(* that lie are implicit: they sign anything, so a quorum exists as soon   *)
(* as HonestQuorum[e] = q - f honest members of epoch e signed, and every  *)
(* coordinator may be a liar.  Messages may be lost or late: a certificate *)
(* that could exist may be used by anybody at any time.                    *)
(*                                                                         *)
(* Mutant names a deliberate mistake, "none" for the protocol as it is.    *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
  Honest,        \* Honest[e]: the honest members of epoch e, for e in 1..Len(Honest)
  HonestQuorum,  \* HonestQuorum[e]: honest signatures that complete a certificate
  TermMax, LengthMax, Values, Mutant,
  StepsMax       \* how many steps a run takes from the beginning; 0 for as many as there are

Epochs == 1..Len(Honest)
Members == UNION {Honest[e] : e \in Epochs}
Terms == 1..TermMax
Stop == "stop"    \* the record EPOCH: it ends its epoch
Empty == "empty"  \* a block without records

VARIABLES
  votes,   \* votes[e][m]: the chains whose last block m has signed in epoch e
  gaveUp,  \* gaveUp[e][m][t]: the high position in m's TIMEOUT of term t, or Never
  memory,  \* memory[e][m]: what m knows of its own votes
  disk     \* disk[e][m]: what of it survives a crash

vars == <<votes, gaveUp, memory, disk>>
Zero == <<0, 0>>
Never == <<-1, -1>>

Below(x, y) == x[1] < y[1] \/ (x[1] = y[1] /\ x[2] < y[2])
AtMost(x, y) == x = y \/ Below(x, y)
Highest(S) == CHOOSE x \in S : \A y \in S : AtMost(y, x)
Last(c) == c[Len(c)]
Parent(c) == SubSeq(c, 1, Len(c) - 1)
IsPrefix(x, y) == Len(x) <= Len(y) /\ SubSeq(y, 1, Len(x)) = x
IsOf(c, e) == c # <<>> /\ Last(c)[1] = e
Position(c, e) == IF IsOf(c, e) THEN <<Last(c)[2], Len(c)>> ELSE Zero

StopsAt(c, e) == {i \in 1..Len(c) : c[i][1] = e /\ c[i][3] = Stop}
HasStopped(c, e) == StopsAt(c, e) # {}
\* What of a chain counts: nothing after the block that ends its epoch.
Counted(c, e) == IF HasStopped(c, e) THEN SubSeq(c, 1, CHOOSE i \in StopsAt(c, e) : TRUE) ELSE c

Signed(e) == UNION {votes[e][m] : m \in Honest[e]}
Quorum(e) == IF Mutant = "small quorum" THEN HonestQuorum[e] - 1 ELSE HonestQuorum[e]
IsCertified(c, e) == Cardinality({m \in Honest[e] : c \in votes[e][m]}) >= Quorum(e)
CertifiedBlocks(e) == {c \in Signed(e) : IsCertified(c, e)}

\* A certificate of the same term as its parent's commits the parent.
Committed(e) ==
  {Parent(d) : d \in {c \in CertifiedBlocks(e) :
    /\ IsOf(Parent(c), e)
    /\ \/ Last(Parent(c))[2] = Last(c)[2]
       \/ Mutant = "commit across terms"}}

\* An epoch begins at the committed block that ended the one before.
Roots(e) ==
  IF e = 1 THEN {<<>>}
  ELSE {Counted(c, e - 1) : c \in {d \in (IF Mutant = "start on an uncommitted stop"
                                          THEN CertifiedBlocks(e - 1) ELSE Committed(e - 1)) :
                                   HasStopped(d, e - 1)}}

GaveUp(e, m, t) ==
  IF gaveUp[e][m][t] # Never \/ Mutant # "time-outs of another epoch" THEN gaveUp[e][m][t]
  ELSE LET S == {gaveUp[x][m][t] : x \in {y \in Epochs : m \in Honest[y]}} \ {Never}
       IN IF S = {} THEN Never ELSE CHOOSE x \in S : TRUE
IsAllowed(e, t, high) ==
  IF t = 0 \/ Mutant = "no certificate of the term before" THEN TRUE
  ELSE Cardinality({m \in Honest[e] : GaveUp(e, m, t) # Never /\ AtMost(GaveUp(e, m, t), high)})
         >= Quorum(e)

Init ==
  /\ votes = [e \in Epochs |-> [m \in Members |-> {}]]
  /\ gaveUp = [e \in Epochs |-> [m \in Members |-> [t \in Terms |-> Never]]]
  /\ memory = [e \in Epochs |-> [m \in Members |-> [voted |-> Zero, high |-> Zero, over |-> 0]]]
  /\ disk = memory

Keep(e, m, known) ==
  /\ memory' = [memory EXCEPT ![e][m] = known]
  /\ disk' = IF Mutant = "send before disk" THEN disk ELSE [disk EXCEPT ![e][m] = known]

FitsEpoch(p, e, v) ==
  IF HasStopped(p, e) THEN v = Empty \/ Mutant = "records after the stop"
  ELSE v # Stop \/ e < Len(Honest)

Vote(e, m) == \E p \in Roots(e) \cup CertifiedBlocks(e), t \in Terms, v \in Values :
  LET c == Append(p, <<e, t, v>>)
      before == memory[e][m]
      parent == Position(p, e)
  IN /\ Len(c) <= LengthMax
     /\ c \notin votes[e][m]
     /\ FitsEpoch(p, e, v)
     /\ t > before.over \/ Mutant = "vote after a time-out"
     /\ Below(before.voted, Position(c, e)) \/ Mutant = "vote twice"
     /\ t >= parent[1]
     /\ \/ t = parent[1]
        \/ /\ before.voted[1] < t \/ Mutant \in {"vote twice", "commit across terms"}
           /\ IsAllowed(e, t - 1, parent)
     /\ votes' = [votes EXCEPT ![e][m] = @ \cup {c}]
     /\ Keep(e, m, [before EXCEPT !.voted = Position(c, e), !.high = Highest({@, parent})])
     /\ UNCHANGED gaveUp

TimeOut(e, m) == \E t \in 1..(TermMax - 1) :
  LET before == memory[e][m]
  IN /\ t > before.over
     /\ t >= before.voted[1]
     /\ gaveUp[e][m][t] = Never
     /\ gaveUp' = [gaveUp EXCEPT ![e][m][t] =
                     IF Mutant = "lie about the highest" THEN Zero ELSE before.high]
     /\ Keep(e, m, [before EXCEPT !.over = t])
     /\ UNCHANGED votes

\* Whoever loses the disk as well never votes again, which is a member that stays silent.
Crash(m) ==
  /\ LET left == IF Mutant = "vote with a lost disk"
                 THEN [e \in Epochs |-> [voted |-> Zero, high |-> Zero, over |-> 0]]
                 ELSE [e \in Epochs |-> disk[e][m]]
     IN memory' = [e \in Epochs |-> [memory[e] EXCEPT ![m] = left[e]]]
  /\ disk' = [e \in Epochs |-> [disk[e] EXCEPT ![m] = memory'[e][m]]]
  /\ UNCHANGED <<votes, gaveUp>>

Next ==
  \/ \E e \in Epochs : \E m \in Honest[e] : Vote(e, m) \/ TimeOut(e, m)
  \/ \E m \in Members : Crash(m)

Spec == Init /\ [][Next]_vars

\* Lets a run end that would take days.  TLC checks what one more step leads to as well.
WithinSteps == StepsMax = 0 \/ TLCGet("level") <= StepsMax

---------------------------------------------------------------------------
\* What must hold.

Final == UNION {{Counted(c, e) : c \in Committed(e)} : e \in Epochs}
Agreement == \A x, y \in Final : IsPrefix(x, y) \/ IsPrefix(y, x)

OneCertificateAPosition == \A e \in Epochs : \A x, y \in CertifiedBlocks(e) :
  Position(x, e) = Position(y, e) => x = y

CoordinatorCompleteness == \A e \in Epochs : \A x \in Committed(e), d \in CertifiedBlocks(e) :
  Below(Position(x, e), Position(d, e)) => IsPrefix(x, d)

OneRootAnEpoch == \A e \in Epochs : Cardinality(Roots(e)) <= 1

\* Evidence of protocols/05 section 9 never convicts an honest member.
NoEvidenceAgainstTheHonest == \A e \in Epochs : \A m \in Honest[e] :
  /\ \A c, d \in votes[e][m] : Position(c, e) = Position(d, e) => c = d
  /\ \A c \in votes[e][m], t \in Terms :
       gaveUp[e][m][t] # Never /\ t >= Last(c)[2]
         => AtMost(Position(Parent(c), e), gaveUp[e][m][t])

\* An old epoch's members commit nothing that counts once it has stopped.
NothingAfterTheStop == \A e \in Epochs : \A c \in Committed(e) :
  \A i \in 1..Len(c) : \A j \in StopsAt(c, e) : (c[i][1] = e /\ i > j) => c[i][3] = Empty

\* Not an invariant: its violation shows that the bounds reach a second epoch's commit.
NoCommitInTheLastEpoch == Committed(Len(Honest)) = {}
==========================================================================
