/** Whose states an answer stands on, as its receipt says (protocols/03 section 12, 06 section 1). */

import { type Bytes, equal, tagged } from "../codec/bytes";
import { encodeList } from "../codec/canonical";
import { verify } from "../codec/signing";
import { short } from "./examination";
import type { Mark, Receipt, Spec } from "./values";

const MARKS_MAX = 16n;
const STATE_BYTES_MAX = 64n << 20n;
const FROM_BEGINNING = new Uint8Array(32);
const WORKER_AT = 3;

/** Say why these are no marks that an answer to this task stands on; null where none are named. */
export function marksFault(receipt: Receipt, spec: Spec, cluster: Bytes): string | null {
  const { marks } = receipt.started;
  if (marks === null) return null;
  const most = spec.attempts.marksMax < MARKS_MAX ? spec.attempts.marksMax : MARKS_MAX;
  if (marks.length === 0 || BigInt(marks.length) > most) {
    return `it names ${marks.length} marks, the task has at most ${spec.attempts.marksMax}`;
  }
  let [follows, attempt, gasIndex] = [FROM_BEGINNING as Bytes, -1n, 0n];
  for (const mark of marks) {
    const name = short(mark.worker);
    if (!equal(mark.task, receipt.task) || mark.slot !== receipt.slot) {
      return `the mark of ${name} is of another task`;
    }
    const isNext = attempt < mark.attempt && mark.attempt < receipt.attempt;
    if (!equal(mark.follows, follows) || !isNext) {
      return `the mark of ${name} does not follow the one before`;
    }
    const isWithin = gasIndex < mark.point.gasIndex && mark.point.gasIndex <= spec.gasMax;
    if (!isWithin || !isSized(mark)) {
      return `the mark of ${name} stands where no execution of this task does`;
    }
    if (!markIsSigned(mark, cluster)) return `${name} did not sign its mark`;
    follows = tagged("ambient/mark/1", mark.raw);
    [attempt, gasIndex] = [mark.attempt, mark.point.gasIndex];
  }
  return null;
}

function isSized({ stateSizeBytes, point }: Mark): boolean {
  return stateSizeBytes > 0n && stateSizeBytes <= STATE_BYTES_MAX && point.root.length === 32;
}

/** What is signed are the mark's own fields, but its maker and the signature. */
function markIsSigned(mark: Mark, cluster: Bytes): boolean {
  const said = mark.parts.slice(0, -1).filter((_, at) => at !== WORKER_AT);
  return verify(mark.worker, "mark", cluster, encodeList(...said), mark.signature);
}

/** Say from whose states it went on; empty where it did from none. */
export function marksText({ started }: Receipt): string {
  const said = (started.marks ?? []).map(
    ({ worker, point }) => `${short(worker)} to gas ${point.gasIndex}`,
  );
  return said.length > 0 ? `, gone on from states of ${said.join(", then ")}` : "";
}

/** Say whose word it is what came before a state that a worker went on from. */
export function aboutMarks(receipts: readonly Receipt[]): string[] {
  const makers = receipts.flatMap(({ started }) => started.marks ?? []);
  const last = makers.at(-1);
  if (last === undefined) return [];
  const names = [...new Set(makers.map(({ worker }) => short(worker)))].join(", ");
  return [
    `${names} for all up to gas ${last.point.gasIndex}: the worker went on from their states, which no check shows to be true. Each signed its own, so whoever executes from the beginning sees whose word was false.`,
  ];
}
