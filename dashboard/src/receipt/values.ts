/** What a receipt file holds (protocols/03 section 2, 05 sections 3 and 11, 06 sections 1 to 6). */

import {
  bool,
  bytes,
  count,
  type Field,
  int,
  list,
  oneOf,
  optional,
  pair,
  type Read,
  sized,
  struct,
  text,
} from "../codec/fields";

const MEMBERS_MAX = 128;

export const Assurance = { NONE: 0n, REPLICATED: 1n, AUDITED: 2n, QUORUM: 3n } as const;
export const Verdict = {
  NONE: 0n,
  AGREED: 1n,
  DIVERGENT: 2n,
  INCONCLUSIVE: 3n,
  BISECTED: 4n,
} as const;

const label = struct({ key: text, value: text });

const profile = struct({
  name: text,
  region: text,
  kind: oneOf(["gateway", "compute", "edge", "mobile"]),
  owner: text,
  labels: list(label),
  refuses: list(text),
});

const member = struct({
  node: bytes,
  profile,
  beaconTip: bytes,
  grantMsat: int,
  bondMsat: int,
});

const rules = struct({
  t0Ms: int,
  leaseMs: int,
  revealMs: int,
  disputeMs: int,
  attemptsMax: int,
  batchMs: int,
  keepMs: int,
  replicasMax: int,
  priceMsatPerMgasMin: int,
  strategy: text,
  roundMs: int,
  refereeGasMax: int,
  auditWindowMs: int,
  auditPermille: int,
  classes: list(text),
  pegSatMax: int,
  pegAcknowledged: text,
});

export const genesis = struct({
  stateVersion: int,
  name: text,
  createdMs: int,
  bitcoinNetwork: text,
  members: list(member),
  rules,
});

const bundle = struct({ sizeBytes: int, items: int, root: bytes });

/** What a blob's bytes are: so many, and of a bundle its items (protocols/19 section 1). */
export interface Extent {
  readonly sizeBytes: bigint;
  readonly bundle: Read<typeof bundle> | null;
}

const extent: Field<Extent> = (item, place) => {
  if (typeof item.value === "bigint") return { sizeBytes: item.value, bundle: null };
  const read = bundle(item, place);
  return { sizeBytes: read.sizeBytes, bundle: read };
};

const attempts = struct({ attemptsMax: int, marksMax: int });

/** How often a slot is given out, and how many states of it may be marked (03 section 12). */
export interface Attempts {
  readonly attemptsMax: bigint;
  readonly marksMax: bigint;
}

const allowed: Field<Attempts> = (item, place) => {
  if (typeof item.value === "bigint") return { attemptsMax: item.value, marksMax: 0n };
  return attempts(item, place);
};

const constraint = struct({ key: text, value: text, isExcluded: bool });

export const spec = struct({
  module: bytes,
  input: bytes,
  moduleSizeBytes: int,
  inputSizeBytes: extent,
  gasMax: int,
  memoryBytesMax: int,
  wallMsMax: int,
  outputBytesMax: int,
  assurance: oneOf(Object.values(Assurance)),
  replicas: int,
  priceMsatPerMgas: int,
  taskClass: text,
  constraints: list(constraint),
  distinct: list(text),
  priority: int,
  deadlineMs: int,
  attempts: allowed,
  strategy: text,
});

export const result = struct({
  kind: int,
  reason: text,
  output: bytes,
  outputSizeBytes: extent,
  gas: int,
  prepared: bytes,
  rewriterVersion: int,
});

/** Where an execution stands at a gas index: the state's root, or at the end the result's. */
export const tracePoint = struct({ gasIndex: int, root: bytes });

const mark = struct({
  task: bytes,
  slot: int,
  attempt: int,
  worker: bytes,
  point: tracePoint,
  state: bytes,
  stateSizeBytes: int,
  follows: bytes,
  signature: bytes,
});

const goneOn = struct({ startedMs: int, marks: list(mark) });

/** When an execution began, and the marks it stands on; null where it names none. */
export interface Start {
  readonly startedMs: bigint;
  readonly marks: readonly Read<typeof mark>[] | null;
}

const start: Field<Start> = (item, place) => {
  if (typeof item.value === "bigint") return { startedMs: item.value, marks: null };
  return goneOn(item, place);
};

const receipt = struct({
  task: bytes,
  slot: int,
  attempt: int,
  worker: bytes,
  spec: bytes,
  module: bytes,
  input: bytes,
  result,
  engine: text,
  engineVersion: text,
  nonce: bytes,
  started: start,
  finishedMs: int,
  telemetry: bytes,
  energyMj: optional(int),
  energySource: text,
});

export const signedReceipt = struct({ receipt, signature: bytes });
export const refereeVerdict = struct({ task: bytes, referee: bytes, result, signature: bytes });

const settlement = struct({
  task: bytes,
  submitter: bytes,
  spec: bytes,
  verdict: oneOf(Object.values(Verdict)),
  result,
  receipts: list(bytes),
  referees: list(bytes),
  liars: list(bytes),
  settledMs: int,
});

const revocation = struct({
  task: bytes,
  worker: bytes,
  leaf: int,
  found: bytes,
  audit: bytes,
  revokedMs: int,
});

const note = struct({
  size: int,
  root: bytes,
  cosignatures: list(struct({ member: bytes, signature: bytes })),
});

const anchor = struct({
  rawTx: bytes,
  index: int,
  siblings: list(bytes),
  height: int,
  header: bytes,
  followingHeaders: list(bytes),
});

const place = { leafIndex: int, path: list(bytes) };

export const receiptFile = struct({
  version: int,
  genesis,
  submitter: bytes,
  nonce: bytes,
  spec,
  untilMs: int,
  admitSignature: bytes,
  settlement,
  receipts: list(signedReceipt),
  verdicts: list(refereeVerdict),
  leafIndex: int,
  path: list(bytes),
  epochs: list(bytes),
  epochLeaf: optional(struct(place)),
  note: optional(note),
  anchor: optional(anchor),
  doubt: optional(struct({ revocation: optional(revocation), ...place })),
  issuer: bytes,
  signature: bytes,
});

export const header = struct({
  term: count,
  index: count,
  parentHash: sized(32),
  timeMs: count,
  recordsRoot: sized(32),
  beacon: sized(32, 64),
  stateRoot: sized(0, 32),
  proposer: sized(32),
});

const quorumCertificate = struct({
  position: pair(count, count),
  parentTerm: count,
  hash: sized(32),
  signatures: list(pair(count, sized(64)), 0, MEMBERS_MAX),
});

/** How an epoch ended: the record of its stop, and headers with their certificates. */
export const epochEnd = struct({
  record: bytes,
  links: list(pair(header, quorumCertificate), 2, 1024),
});

const EPOCH_TAG = 14n;
const epochBody = struct(
  { number: int, members: list(bytes), seed: bytes, beaconTips: list(bytes), stateVersion: int },
  EPOCH_TAG,
);

/** A record whose body begins an epoch. */
export const stopRecord = struct({ author: bytes, body: epochBody, signature: bytes });

export type Spec = Read<typeof spec>;
export type Receipt = Read<typeof receipt>;
export type Mark = Read<typeof mark>;
export type Genesis = Read<typeof genesis>;
export type Result = Read<typeof result>;
export type SignedReceipt = Read<typeof signedReceipt>;
export type RefereeVerdict = Read<typeof refereeVerdict>;
export type ReceiptFile = Read<typeof receiptFile>;
export type EpochEnd = Read<typeof epochEnd>;
export type QuorumCertificate = Read<typeof quorumCertificate>;
