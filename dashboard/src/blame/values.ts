/** What a blame certificate holds (protocols/13 section 1, 12, 07 section 2, 05 section 9). */

import { DecodeError, type Item } from "../codec/canonical";
import {
  bytes,
  count,
  type Field,
  int,
  list,
  optional,
  pair,
  type Read,
  sized,
  struct,
  text,
} from "../codec/fields";
import {
  genesis,
  header,
  refereeVerdict,
  signedReceipt,
  spec,
  tracePoint,
} from "../receipt/values";

/** Where an execution stands at a gas index. */

export const trace = struct({
  task: bytes,
  party: bytes,
  game: int,
  round: int,
  low: tracePoint,
  untilGas: int,
  points: list(tracePoint),
  state: bytes,
  stateSizeBytes: int,
  signature: bytes,
});

export const segmentVerdict = struct({
  task: bytes,
  game: int,
  referee: bytes,
  start: tracePoint,
  untilGas: int,
  end: tracePoint,
  signature: bytes,
});

const blamedTask = struct({ submitter: bytes, nonce: bytes, spec });

const wrongResult = struct(
  { task: blamedTask, receipt: signedReceipt, verdicts: list(refereeVerdict) },
  1n,
);
const wrongStep = struct(
  {
    task: blamedTask,
    receipt: signedReceipt,
    traces: list(trace),
    verdicts: list(segmentVerdict),
    state: bytes,
  },
  2n,
);
const contradiction = struct({ kind: text, first: bytes, second: bytes }, 3n);

export type WrongResult = Read<typeof wrongResult>;
export type WrongStep = Read<typeof wrongStep>;
export type Contradiction = Read<typeof contradiction>;
export type Evidence =
  | { readonly tag: "result"; readonly it: WrongResult }
  | { readonly tag: "step"; readonly it: WrongStep }
  | { readonly tag: "contradiction"; readonly it: Contradiction };

/** Give a struct's tag; null for what has none. */
export function tagOf({ value }: Item): bigint | null {
  const first = Array.isArray(value) ? value[0]?.value : null;
  return typeof first === "bigint" ? first : null;
}

const evidence: Field<Evidence> = (item, place) => {
  switch (tagOf(item)) {
    case 1n:
      return { tag: "result", it: wrongResult(item, place) };
    case 2n:
      return { tag: "step", it: wrongStep(item, place) };
    case 3n:
      return { tag: "contradiction", it: contradiction(item, place) };
    default:
      throw new DecodeError(`${place} is no evidence`);
  }
};

export const blameFile = struct({
  version: int,
  genesis,
  epochs: list(bytes),
  culprit: bytes,
  evidence,
  module: optional(bytes),
  input: optional(bytes),
});

export const telemetryBatch = struct({
  node: sized(32),
  epoch: count,
  seq: count,
  observations: list(struct({ name: text, value: optional(int), source: text }), 0, 32),
  prevHash: sized(32),
  signature: sized(64),
});

const position = pair(count, count);
const vote = struct(
  { position, parentTerm: count, hash: sized(32), member: count, signature: sized(64) },
  2n,
);
const equivocalBlocks = struct(
  { first: header, firstSignature: sized(64), second: header, secondSignature: sized(64) },
  1n,
);
const equivocalVotes = struct({ first: vote, second: vote }, 2n);
const hiddenCertificate = struct(
  { vote, term: count, highPosition: position, signature: sized(64) },
  3n,
);

export type Vote = Read<typeof vote>;
export type LogFraud =
  | { readonly tag: "blocks"; readonly it: Read<typeof equivocalBlocks> }
  | { readonly tag: "votes"; readonly it: Read<typeof equivocalVotes> }
  | { readonly tag: "hidden"; readonly it: Read<typeof hiddenCertificate> };

const logFraud: Field<LogFraud> = (item, place) => {
  switch (tagOf(item)) {
    case 1n:
      return { tag: "blocks", it: equivocalBlocks(item, place) };
    case 2n:
      return { tag: "votes", it: equivocalVotes(item, place) };
    case 3n:
      return { tag: "hidden", it: hiddenCertificate(item, place) };
    default:
      throw new DecodeError(`${place} is no evidence of the log`);
  }
};

export const logEvidence = struct({ epoch: int, evidence: logFraud });

export type BlameFile = Read<typeof blameFile>;
export type TracePoint = Read<typeof tracePoint>;
export type Trace = Read<typeof trace>;
