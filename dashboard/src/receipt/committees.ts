/** Committees: how many make a quorum, and how each epoch handed over (protocols/05 section 11). */

import { type Bytes, compare, equal, tagged } from "../codec/bytes";
import { DecodeError, decode, encodeBytes, encodeList, encodeNumber } from "../codec/canonical";
import { EMPTY_HEAD, leafHash } from "../codec/merkle";
import { verify } from "../codec/signing";
import {
  type EpochEnd,
  epochEnd,
  type Genesis,
  type QuorumCertificate,
  stopRecord,
} from "./values";

const MEMBERS_MAX = 128;
const END_BYTES_MAX = 1024 * 1024;

/** The members of the log in one epoch, and the block that it builds on. */
export interface Epoch {
  readonly number: bigint;
  /** In ascending order. */
  readonly members: readonly Bytes[];
  readonly seed: Bytes;
  readonly beaconTips: readonly Bytes[];
  readonly stateVersion: bigint;
  readonly rootIndex: bigint;
  readonly rootHash: Bytes;
}

/** Give q = floor((n + f) / 2) + 1, f = floor((n - 1) / 3). */
export function quorum(members: number): number {
  return Math.floor((members + Math.floor((members - 1) / 3)) / 2) + 1;
}

/** Tell whether a key is among these. */
export function includes(keys: readonly Bytes[], key: Bytes): boolean {
  return keys.some((each) => equal(each, key));
}

/** Name an epoch: who keeps the log in it, by which rules, and by its first block all before it. */
export function epochHash(epoch: Epoch): Bytes {
  return tagged(
    "ambient/epoch/1",
    encodeList(
      encodeNumber(epoch.number),
      encodeList(...epoch.members.map(encodeBytes)),
      encodeBytes(epoch.seed),
      encodeList(...epoch.beaconTips.map(encodeBytes)),
      encodeNumber(epoch.stateVersion),
      encodeNumber(epoch.rootIndex),
      encodeBytes(epoch.rootHash),
    ),
  );
}

/** Give the epoch of the founders. */
export function firstEpoch(genesis: Genesis, cluster: Bytes): Epoch {
  const founders = [...genesis.members].sort((one, two) => compare(one.node, two.node));
  return {
    number: 1n,
    members: founders.map((founder) => founder.node),
    seed: cluster,
    beaconTips: founders.map((founder) => founder.beaconTip),
    stateVersion: genesis.stateVersion,
    rootIndex: 0n,
    rootHash: tagged("ambient/log-genesis/1", cluster, encodeNumber(1n)),
  };
}

/** Give the epoch that each proof leads to, from the founders on, or what is wrong with one. */
export function followEpochs(
  genesis: Genesis,
  cluster: Bytes,
  ends: readonly Bytes[],
): readonly Epoch[] | string {
  let present = firstEpoch(genesis, cluster);
  const fault = committeeFault(present.members, present.beaconTips);
  if (fault !== null) return `the genesis founds no committee: ${fault}`;
  const epochs: Epoch[] = [];
  for (const raw of ends) {
    const next = nextEpoch(present, raw, cluster);
    if (typeof next === "string") return `epoch ${present.number}: ${next}`;
    epochs.push(next);
    present = next;
  }
  return epochs;
}

function nextEpoch(present: Epoch, raw: Bytes, cluster: Bytes): Epoch | string {
  try {
    const end = epochEnd(decode(raw, END_BYTES_MAX), "proof");
    const { body } = stopRecord(decode(end.record, END_BYTES_MAX), "record");
    const stop = end.links[0] as EpochEnd["links"][number];
    const next = { ...body, rootIndex: stop[0].index, rootHash: blockHash(stop[0].raw) };
    return successionFault(present, next) ?? endFault(end, present, cluster) ?? next;
  } catch (error) {
    if (error instanceof DecodeError)
      return `the proof of its end cannot be read: ${error.message}`;
    throw error;
  }
}

function committeeFault(members: readonly Bytes[], tips: readonly Bytes[]): string | null {
  if (members.length < 1 || members.length > MEMBERS_MAX) {
    return `a committee of ${members.length} members; 1 to ${MEMBERS_MAX} are possible`;
  }
  if (tips.length !== members.length) {
    return `${tips.length} beacon tips do not fit ${members.length} members`;
  }
  if ([...members, ...tips].some((value) => value.length !== 32)) {
    return "keys and beacon tips have 32 bytes each";
  }
  const isSorted = members.every(
    (key, at) => at === 0 || compare(members[at - 1] as Bytes, key) < 0,
  );
  return isSorted ? null : "the committee's keys are not sorted, or one is there twice";
}

function successionFault(present: Epoch, next: Epoch): string | null {
  if (next.number !== present.number + 1n) return `epoch ${next.number} does not follow it`;
  const fault = committeeFault(next.members, next.beaconTips);
  if (fault !== null) return fault;
  for (const [at, member] of next.members.entries()) {
    const before = present.members.findIndex((each) => equal(each, member));
    if (before >= 0 && !equal(present.beaconTips[before] as Bytes, next.beaconTips[at] as Bytes)) {
      return "a member that stays may not change its beacon tip";
    }
  }
  const step = next.stateVersion - present.stateVersion;
  if (step !== 0n && step !== 1n) {
    return `the state's version grows by one at a time, not to ${next.stateVersion}`;
  }
  const leaving = present.members.filter((each) => !includes(next.members, each)).length;
  const joining = next.members.filter((each) => !includes(present.members, each)).length;
  const limit = Math.max(1, Math.floor(present.members.length / 3));
  if (Math.max(leaving, joining) <= limit) return null;
  return `${leaving} members leave and ${joining} join; of ${present.members.length} seats ${limit} may change`;
}

function endFault(end: EpochEnd, present: Epoch, cluster: Bytes): string | null {
  const headers = end.links.map(([header]) => header);
  const [stop, before, last] = [headers[0], headers.at(-2), headers.at(-1)];
  if (stop === undefined || before === undefined || last === undefined) return "no headers";
  if (stop.index <= present.rootIndex) return "the stop block is not above the epoch's root";
  if (!equal(stop.recordsRoot, leafHash(end.record))) {
    return "the stop block does not hold the record alone";
  }
  if (headers.slice(1).some((header) => !equal(header.recordsRoot, EMPTY_HEAD))) {
    return "a block behind the stop holds records";
  }
  for (const [at, [header, certificate]] of end.links.entries()) {
    const child = headers[at + 1];
    const follows =
      child === undefined ||
      (child.index === header.index + 1n && equal(child.parentHash, certificate.hash));
    if (!follows) return "the headers do not follow from one another";
    const [term, index] = certificate.position;
    const isOfHeader =
      term === header.term &&
      index === header.index &&
      equal(certificate.hash, blockHash(header.raw));
    if (!isOfHeader) return "a certificate is not of its header";
    if (!certificateHolds(certificate, present, cluster)) return "a certificate does not hold";
  }
  const parentTerm = end.links.at(-1)?.[1].parentTerm;
  if (last.term !== before.term || last.term !== parentTerm) {
    return "the last two blocks are not of one term";
  }
  return null;
}

function certificateHolds(certificate: QuorumCertificate, epoch: Epoch, cluster: Bytes): boolean {
  const [term, index] = certificate.position;
  const numbers = certificate.signatures.map(([number]) => number);
  const isAscending = numbers.every(
    (number, at) => at === 0 || (numbers[at - 1] as bigint) < number,
  );
  if (term < 1n || index < 1n || certificate.parentTerm > term || !isAscending) return false;
  if (numbers.length < quorum(epoch.members.length)) return false;
  const payload = encodeList(
    ...[epoch.number, term, index, certificate.parentTerm].map(encodeNumber),
    encodeBytes(certificate.hash),
  );
  return certificate.signatures.every(([number, signature]) => {
    const key = epoch.members[Number(number)];
    return key !== undefined && verify(key, "vote", cluster, payload, signature);
  });
}

/** Name a block. */
export function blockHash(header: Bytes): Bytes {
  return tagged("ambient/block/1", header);
}

/** Give the leaf hash of an epoch in the receipt log. */
export function epochLeaf(epoch: Epoch): Bytes {
  return leafHash(epochHash(epoch));
}
