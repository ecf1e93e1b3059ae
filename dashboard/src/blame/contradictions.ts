/** Two statements of one key that exclude each other (protocols/03 section 3, EVIDENCE). */

import { type Bytes, equal, tagged } from "../codec/bytes";
import { DecodeError, decode, encodeBytes, encodeList, encodeNumber } from "../codec/canonical";
import { verify } from "../codec/signing";
import { verdictIsSigned } from "../receipt/agreement";
import { blockHash, type Epoch, firstEpoch, followEpochs } from "../receipt/committees";
import { resultRoot } from "../receipt/examination";
import { type Genesis, type Result, refereeVerdict, signedReceipt } from "../receipt/values";
import {
  type Contradiction,
  type LogFraud,
  logEvidence,
  segmentVerdict,
  telemetryBatch,
  trace,
  type Vote,
} from "./values";

const STATEMENT_BYTES_MAX = 16 * 1024 * 1024;
const BATCH_BYTES_MAX = 1024;

/** Everything that says who a statement's key may be. */
export interface Bench {
  readonly genesis: Genesis;
  readonly cluster: Bytes;
  readonly ends: readonly Bytes[];
}

/** Give the key that two statements convict, or null. */
export function convicted(said: Contradiction, bench: Bench): Bytes | null {
  try {
    switch (said.kind) {
      case "receipt":
        return twoReceipts(said, bench.cluster);
      case "verdict":
        return twoVerdicts(said, bench.cluster);
      case "trace":
        return twoTraces(said, bench.cluster);
      case "segment":
        return twoSegments(said, bench.cluster);
      case "telemetry":
        return twoBatches(said, bench.cluster);
      case "log":
        return said.second.length === 0 ? logCulprit(said.first, bench) : null;
      default:
        return null;
    }
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

function both<T>(said: Contradiction, read: (item: ReturnType<typeof decode>, at: string) => T) {
  const [first, second] = [said.first, said.second].map((bytes) =>
    read(decode(bytes, STATEMENT_BYTES_MAX), "statement"),
  );
  return [first as T, second as T] as const;
}

/** Tell whether two results exclude each other; those of two versions of the rewriter do not. */
function differ(first: Result, second: Result): boolean {
  const isSameVersion = first.rewriterVersion === second.rewriterVersion;
  return isSameVersion && resultRoot(first) !== resultRoot(second);
}

/** Two answers to one assignment; an execution has one outcome, however often it is done. */
function twoReceipts(said: Contradiction, cluster: Bytes): Bytes | null {
  const signed = both(said, signedReceipt);
  const [first, second] = [signed[0].receipt, signed[1].receipt];
  const isOnePlace =
    equal(first.worker, second.worker) &&
    equal(first.task, second.task) &&
    first.slot === second.slot;
  // What stands on others' states may be false without a word of its worker's own being so.
  const areAlone = first.started.marks === null && second.started.marks === null;
  const areSigned = signed.every(({ receipt, signature }) =>
    verify(receipt.worker, "receipt", cluster, receipt.raw, signature),
  );
  const isTwice = isOnePlace && areAlone && differ(first.result, second.result);
  return isTwice && areSigned ? first.worker : null;
}

function twoVerdicts(said: Contradiction, cluster: Bytes): Bytes | null {
  const verdicts = both(said, refereeVerdict);
  const [first, second] = verdicts;
  const isOnePlace = equal(first.task, second.task) && equal(first.referee, second.referee);
  const areSigned = verdicts.every((each) => verdictIsSigned(each, cluster));
  return isOnePlace && differ(first.result, second.result) && areSigned ? first.referee : null;
}

/** Two traces of one round; a pass is none. */
function twoTraces(said: Contradiction, cluster: Bytes): Bytes | null {
  const traces = both(said, trace);
  const [first, second] = traces;
  const isOnePlace =
    equal(first.task, second.task) &&
    first.game === second.game &&
    first.round === second.round &&
    equal(first.party, second.party);
  const isPass = traces.some((each) => each.points.length === 0 && each.stateSizeBytes === 0n);
  const differ = !equal(joined(first.parts.slice(0, -1)), joined(second.parts.slice(0, -1)));
  const areSigned = traces.every((each) => traceIsSigned(each, cluster));
  return isOnePlace && !isPass && differ && areSigned ? first.party : null;
}

function joined(parts: readonly Bytes[]): Bytes {
  return encodeList(...parts);
}

/** Tell whether the named party signed a trace. */
export function traceIsSigned(each: ReturnType<typeof trace>, cluster: Bytes): boolean {
  const payload = encodeList(...each.parts.filter((_, at) => at !== 1).slice(0, -1));
  return verify(each.party, "trace", cluster, payload, each.signature);
}

function twoSegments(said: Contradiction, cluster: Bytes): Bytes | null {
  const verdicts = both(said, segmentVerdict);
  const [first, second] = verdicts;
  const isOnePlace =
    equal(first.task, second.task) &&
    equal(first.start.raw, second.start.raw) &&
    first.untilGas === second.untilGas &&
    equal(first.referee, second.referee);
  const areSigned = verdicts.every((each) => segmentIsSigned(each, cluster));
  const differ = !equal(first.end.raw, second.end.raw);
  return isOnePlace && differ && areSigned ? first.referee : null;
}

/** Tell whether the named referee signed a finding on a stretch. */
export function segmentIsSigned(each: ReturnType<typeof segmentVerdict>, cluster: Bytes): boolean {
  const payload = encodeList(...each.parts.filter((_, at) => at !== 2).slice(0, -1));
  return verify(each.referee, "segment", cluster, payload, each.signature);
}

/** Two telemetry batches that one honest node cannot have signed both (protocols/07 section 5). */
function twoBatches(said: Contradiction, cluster: Bytes): Bytes | null {
  if (said.first.length > BATCH_BYTES_MAX || said.second.length > BATCH_BYTES_MAX) return null;
  const batches = [...both(said, telemetryBatch)].sort((one, two) => Number(one.seq - two.seq));
  const [first, second] = batches;
  if (first === undefined || second === undefined) return null;
  if (!equal(first.node, second.node) || first.epoch !== second.epoch) return null;
  const payloads = batches.map((batch) => encodeList(...batch.parts.slice(0, -1)));
  const hashes = payloads.map((payload) => tagged("ambient/telemetry-batch/1", payload));
  const differ =
    first.seq === second.seq
      ? !equal(hashes[0] as Bytes, hashes[1] as Bytes)
      : first.seq + 1n === second.seq && !equal(second.prevHash, hashes[0] as Bytes);
  const areSound = batches.every(isSound);
  const areSigned = batches.every((batch, at) =>
    verify(batch.node, "telemetry", cluster, payloads[at] as Bytes, batch.signature),
  );
  return differ && areSound && areSigned ? first.node : null;
}

const NAME = /^[a-z][a-z0-9_]{0,47}$/;
const SOURCE = /^[!-~](?:[ -~]{0,62}[!-~])?$/;
const VALUE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

function isSound(batch: ReturnType<typeof telemetryBatch>): boolean {
  const { observations, seq, prevHash } = batch;
  if (seq === 0n && prevHash.some((byte) => byte !== 0)) return false;
  return observations.every(({ name, value, source }, at) => {
    const before = observations[at - 1]?.name;
    const isInRange = value === null || (value >= -VALUE_MAX && value <= VALUE_MAX);
    const isInOrder = before === undefined || before < name;
    return NAME.test(name) && SOURCE.test(source) && isInRange && isInOrder;
  });
}

/** Give whom evidence of the log convicts, before the committee of the epoch it was said in. */
function logCulprit(raw: Bytes, { genesis, cluster, ends }: Bench): Bytes | null {
  const said = logEvidence(decode(raw, STATEMENT_BYTES_MAX), "evidence");
  const changes = Number(said.epoch) - 1;
  if (changes < 0 || changes > ends.length) return null;
  const followed = followEpochs(genesis, cluster, ends.slice(0, changes));
  if (typeof followed === "string") return null;
  const epoch = followed.at(-1) ?? firstEpoch(genesis, cluster);
  return culpritOf(said.evidence, epoch, cluster);
}

function culpritOf(fraud: LogFraud, epoch: Epoch, cluster: Bytes): Bytes | null {
  switch (fraud.tag) {
    case "blocks": {
      const { first, firstSignature, second, secondSignature } = fraud.it;
      const isOnePlace =
        first.term === second.term &&
        first.index === second.index &&
        equal(first.proposer, second.proposer);
      const hashes = [blockHash(first.raw), blockHash(second.raw)] as const;
      const isSigned = (hash: Bytes, signature: Bytes) => {
        const payload = encodeList(encodeNumber(epoch.number), encodeBytes(hash));
        return verify(first.proposer, "append", cluster, payload, signature);
      };
      const proven =
        isOnePlace &&
        !equal(...hashes) &&
        isSigned(hashes[0], firstSignature) &&
        isSigned(hashes[1], secondSignature);
      return proven ? first.proposer : null;
    }
    case "votes": {
      const { first, second } = fraud.it;
      const isOnePlace =
        first.member === second.member &&
        first.position[0] === second.position[0] &&
        first.position[1] === second.position[1];
      const areSigned = [first, second].every((vote) => voteIsSigned(vote, epoch, cluster));
      const proven = isOnePlace && !equal(first.hash, second.hash) && areSigned;
      return proven ? keyOf(first.member, epoch) : null;
    }
    case "hidden": {
      const { vote, term, highPosition, signature } = fraud.it;
      const [highTerm, highIndex] = highPosition;
      const isBelow =
        highTerm < vote.parentTerm ||
        (highTerm === vote.parentTerm && highIndex + 1n < vote.position[1]);
      const key = keyOf(vote.member, epoch);
      const payload = encodeList(...[epoch.number, term, highTerm, highIndex].map(encodeNumber));
      const proven =
        key !== null &&
        term >= vote.position[0] &&
        isBelow &&
        voteIsSigned(vote, epoch, cluster) &&
        verify(key, "timeout", cluster, payload, signature);
      return proven ? key : null;
    }
  }
}

function keyOf(member: bigint, epoch: Epoch): Bytes | null {
  return epoch.members[Number(member)] ?? null;
}

function voteIsSigned(vote: Vote, epoch: Epoch, cluster: Bytes): boolean {
  const key = keyOf(vote.member, epoch);
  const payload = encodeList(
    ...[epoch.number, ...vote.position, vote.parentTerm].map(encodeNumber),
    encodeBytes(vote.hash),
  );
  return key !== null && verify(key, "vote", cluster, payload, vote.signature);
}
