/** Does the settlement follow from what workers and referees signed? (protocols/06 section 3) */

import { type Bytes, equal, hex } from "../codec/bytes";
import { encodeBytes, encodeList } from "../codec/canonical";
import { verify } from "../codec/signing";
import { quorum } from "./committees";
import { benches, type Examination, note, referees, resultRoot, short } from "./examination";
import { Assurance, type RefereeVerdict, Verdict } from "./values";

const INCONCLUSIVE = "inconclusive: the referees did not agree";

/** Check the verdicts' signatures, and that the settlement's verdict holds. */
export function checkAgreement(exam: Examination): void {
  const fault = verdictsFault(exam) ?? settledFault(exam);
  note(exam, "agreement", fault, foundText(exam));
}

function verdictsFault(exam: Examination): string | null {
  const { file, cluster } = exam;
  for (const verdict of file.verdicts) {
    if (benches(exam, referees(exam)).length === 0 || !equal(verdict.task, file.settlement.task)) {
      return "a verdict is not a member's on this task";
    }
    if (!verdictIsSigned(verdict, cluster)) {
      return `referee ${short(verdict.referee)} did not sign the verdict`;
    }
  }
  return null;
}

function settledFault(exam: Examination): string | null {
  switch (exam.file.settlement.verdict) {
    case Verdict.NONE:
      return singleFault(exam);
    case Verdict.AGREED:
      return agreedFault(exam);
    case Verdict.DIVERGENT:
      return refereedFault(exam);
    case Verdict.BISECTED:
      return bisectedFault(exam);
    case Verdict.INCONCLUSIVE:
      return inconclusiveFault(exam);
  }
}

function foundText({ file }: Examination): string {
  const [receipts, verdicts] = [file.receipts.length, file.verdicts.length];
  const liars = file.settlement.liars.map(short).join(", ") || "nobody";
  switch (file.settlement.verdict) {
    case Verdict.NONE:
      return "one worker's answer, not compared";
    case Verdict.AGREED:
      return verdicts === 0
        ? `${receipts} workers gave the same answer independently`
        : `the referees and all ${receipts} workers that opened their answers found the same`;
    case Verdict.DIVERGENT:
      return `${verdicts} referees decided; lied: ${liars}`;
    case Verdict.BISECTED:
      return `every other answer was traced to a false step; lied: ${liars}`;
    case Verdict.INCONCLUSIVE:
      return "the task has no answer";
  }
}

/** Give how many replicas there can be: a worker that has no trust is given a second. */
export function replicasMax({ file }: Examination): bigint {
  return file.spec.assurance === Assurance.AUDITED ? 2n : file.spec.replicas;
}

function singleFault({ file }: Examination): string | null {
  const { assurance, replicas } = file.spec;
  const isSingle = assurance === Assurance.NONE || assurance === Assurance.AUDITED;
  if (replicas !== 1n || !isSingle) return "the task asked for replicas, the settlement for none";
  const [signed] = file.receipts;
  const isAlone = file.receipts.length === 1 && file.verdicts.length === 0;
  if (!isAlone || file.settlement.liars.length !== 0 || signed === undefined) {
    return "an unreplicated task has one receipt and nothing else";
  }
  if (!equal(signed.receipt.result.raw, file.settlement.result.raw)) {
    return "the settlement says something else than the receipt";
  }
  return null;
}

function agreedFault(exam: Examination): string | null {
  const { file } = exam;
  const { liars, result } = file.settlement;
  if (file.spec.assurance === Assurance.NONE || liars.length !== 0) {
    return "an agreed settlement is of a replicated task and names no liars";
  }
  if (file.receipts.some(({ receipt }) => !equal(receipt.result.raw, result.raw))) {
    return "the receipts do not all say what the settlement says";
  }
  if (file.verdicts.length !== 0) return refereedFault(exam);
  const asked = replicasMax(exam) > 2n ? replicasMax(exam) : 2n;
  if (BigInt(file.receipts.length) < asked) {
    return `${file.receipts.length} receipts are here, the task asked for ${asked}`;
  }
  return null;
}

function refereedFault(exam: Examination): string | null {
  const { file } = exam;
  if (file.spec.assurance === Assurance.NONE) return "an unreplicated task cannot be disputed";
  const needed = quorum(Math.min(...benches(exam, referees(exam))));
  const root = resultRoot(file.settlement.result);
  if (decided(file.verdicts, needed) !== root) {
    return `no ${needed} referees found what the settlement says`;
  }
  return liarsFault(exam, root);
}

function bisectedFault(exam: Examination): string | null {
  const { file } = exam;
  if (file.spec.assurance === Assurance.NONE || file.verdicts.length !== 0) {
    return "a bisected dispute is of a replicated task, and no referee executed the whole";
  }
  const asked = file.spec.replicas > 2n ? file.spec.replicas : 2n;
  if (BigInt(file.receipts.length) < asked) {
    return `${file.receipts.length} receipts are here, the task asked for ${file.spec.replicas}`;
  }
  const root = resultRoot(file.settlement.result);
  const others = file.receipts.filter(({ receipt }) => resultRoot(receipt.result) !== root).length;
  if (others === 0 || others === file.receipts.length) {
    return "a bisected dispute is between receipts, and one at least says what was settled";
  }
  return liarsFault(exam, root);
}

/** Exactly those whose receipts say otherwise lied. */
function liarsFault({ file }: Examination, root: string): string | null {
  const others = file.receipts
    .filter(({ receipt }) => resultRoot(receipt.result) !== root)
    .map(({ receipt }) => hex(receipt.worker));
  const named = file.settlement.liars.map(hex);
  const isSame =
    new Set(named).size === named.length &&
    named.length === new Set(others).size &&
    named.every((liar) => others.includes(liar));
  return isSame ? null : "the liars that are named are not those whose receipts differ";
}

function inconclusiveFault(exam: Examination): string | null {
  const { file } = exam;
  const { liars, result } = file.settlement;
  if (liars.length !== 0 || file.spec.assurance === Assurance.NONE) {
    return "a dispute without decision is of a replicated task and names no liars";
  }
  // A larger committee may have been undecided where a smaller one, of the same referees, was not.
  if (decided(file.verdicts, quorum(Math.max(...benches(exam, referees(exam))))) !== null) {
    return "the referees did decide";
  }
  const zeros = new Uint8Array(32);
  const isNone =
    result.kind === 3n &&
    result.reason === INCONCLUSIVE &&
    equal(result.output, zeros) &&
    equal(result.prepared, zeros) &&
    result.outputSizeBytes.sizeBytes === 0n &&
    result.outputSizeBytes.bundle === null &&
    result.gas === 0n &&
    result.rewriterVersion === 0n;
  return isNone ? null : "a dispute without decision has no result, and this one claims one";
}

/** Give the root of the result that so many different referees found, or null. */
function decided(verdicts: readonly RefereeVerdict[], needed: number): string | null {
  const votes = new Map<string, Set<string>>();
  for (const { referee, result } of verdicts) {
    const root = resultRoot(result);
    const said = votes.get(root) ?? new Set();
    votes.set(root, said.add(hex(referee)));
    if (said.size >= needed) return root;
  }
  return null;
}

/** Tell whether the named referee signed a finding on a whole execution. */
export function verdictIsSigned(verdict: RefereeVerdict, cluster: Bytes): boolean {
  const payload = encodeList(encodeBytes(verdict.task), verdict.result.raw);
  return verify(verdict.referee, "verdict", cluster, payload, verdict.signature);
}
