/** A decoded receipt file, what is derived from it once, and what was found so far. */

import { type Bytes, equal, hex, tagged } from "../codec/bytes";
import { type Epoch, includes } from "./committees";
import type { Genesis, ReceiptFile, Result } from "./values";

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** An examination under way; the last committee cosigned the note. */
export interface Examination {
  readonly file: ReceiptFile;
  readonly cluster: Bytes;
  readonly committees: (readonly Bytes[])[];
  readonly epochs: Epoch[];
  readonly checks: Check[];
}

/** Anything that gathers findings. */
export interface Findings {
  readonly checks: Check[];
}

/** Write down a finding: the fault, or what was found when there is none. */
export function note(exam: Findings, name: string, fault: string | null, found: string): void {
  exam.checks.push({ name, ok: fault === null, detail: fault ?? found });
}

/** Give the committee that has cosigned the note. */
export function present(exam: Examination): readonly Bytes[] {
  return exam.committees.at(-1) ?? [];
}

/** Compare the cluster with the one that was meant. */
export function checkCluster(
  exam: Findings & Pick<Examination, "cluster"> & { readonly file: { readonly genesis: Genesis } },
  pinned: Bytes | undefined,
): void {
  const { members, stateVersion } = exam.file.genesis;
  const founded = `${members.length} founding members, state version ${stateVersion}`;
  const name = `${hex(exam.cluster)} (${founded})`;
  if (pinned === undefined) {
    note(exam, "cluster", null, `${name}, as the file says; nothing was given to compare it to`);
    return;
  }
  const fault = equal(pinned, exam.cluster)
    ? null
    : `the file is from cluster ${hex(exam.cluster)}, not from ${hex(pinned)}`;
  note(exam, "cluster", fault, `${name}, as pinned`);
}

/** Give the sizes of the committees that all referees belong to, the first ones first. */
export function benches(
  { committees }: Pick<Examination, "committees">,
  referees: readonly Bytes[],
): number[] {
  return committees
    .filter((seats) => referees.every((referee) => includes(seats, referee)))
    .map((seats) => seats.length);
}

/** Give the members whose verdicts a receipt file carries. */
export function referees({ file }: Examination): Bytes[] {
  return file.verdicts.map((verdict) => verdict.referee);
}

/** Name a result: what replicas must agree on. */
export function resultRoot(result: Result): string {
  return hex(tagged("ambient/result/1", result.raw));
}

/** Write the first digits of a key. */
export function short(key: Bytes): string {
  return hex(key).slice(0, 16);
}
