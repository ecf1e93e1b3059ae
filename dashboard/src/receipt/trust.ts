/** What a valid receipt file leaves to be trusted, in plain words (protocols/06 section 9). */

import { equal } from "../codec/bytes";
import type { Given } from "./check";
import { epochHash, quorum } from "./committees";
import { benches, type Examination, present, referees } from "./examination";
import { aboutMarks } from "./marks";
import { utc } from "./shape";
import { Verdict } from "./values";

/** Say what no check could show; `anchoredS` is the anchor's time where it means anything. */
export function trustSentences(
  exam: Examination,
  given: Given,
  anchoredS: number | null,
): readonly string[] {
  const { file } = exam;
  const members = present(exam).length;
  const sentences: string[] = [];
  if (!given.pinned) {
    sentences.push(
      "That the cluster is the one you mean: anyone can invent a cluster. Compare its fingerprint with one that you got elsewhere.",
    );
  }
  sentences.push(...aboutAnswer(exam), ...aboutEpochs(exam, given));
  if (file.spec.constraints.length > 0) {
    sentences.push(
      "The owners of the workers for the labels that were asked for: nobody checks them.",
    );
  }
  if (file.receipts.some(({ receipt }) => equal(receipt.worker, file.submitter))) {
    sentences.push("The submitter, who was one of the workers.");
  }
  sentences.push(
    file.note === null
      ? "Whoever issued the file, for everything in it: no checkpoint is cosigned yet, so it is not valid."
      : `That no ${quorum(members)} of the cluster's ${members} members conspired: they alone say who the workers are and when the task was settled.`,
    "That the workers kept the task to themselves: each of them saw the module, the input and the output.",
    aboutTime(exam, anchoredS),
  );
  return sentences;
}

function aboutAnswer(exam: Examination): string[] {
  const { file } = exam;
  switch (file.settlement.verdict) {
    case Verdict.NONE:
      return [
        "The one worker: nobody else executed the task. An audit may have found it wrong since this file was made; a new one says so.",
        ...aboutMarks(file.receipts.map(({ receipt }) => receipt)),
      ];
    case Verdict.AGREED:
      if (file.verdicts.length === 0)
        return ["That not all of the task's workers lied in the same way."];
      return aboutReferees(exam);
    case Verdict.BISECTED:
      return [
        "That one of the task's workers told the truth: it then won against all who did not.",
        "The members for whose step was false: the file does not show it.",
      ];
    default:
      return aboutReferees(exam);
  }
}

function aboutReferees(exam: Examination): string[] {
  const bench = Math.min(...benches(exam, referees(exam)), present(exam).length);
  return [
    `That of the ${exam.file.verdicts.length} referees no ${quorum(bench)} lied in the same way.`,
  ];
}

function aboutEpochs(exam: Examination, given: Given): string[] {
  if (exam.committees.length < 2) return [];
  const hash = given.trustedEpoch;
  const known = exam.epochs.find((epoch) => hash !== undefined && equal(epochHash(epoch), hash));
  if (known) {
    const count = known.members.length;
    return [
      `That the hash you gave of epoch ${known.number} is right, and that no ${quorum(count)} of its ${count} members, and no quorum after them, signed for other successors.`,
    ];
  }
  const founders = exam.committees[0]?.length ?? 0;
  return [
    `That no ${quorum(founders)} of the ${founders} founding members, and no quorum of any committee after them, signed for other successors, then or since: the keys of former members can still sign.`,
  ];
}

function aboutTime({ file }: Examination, anchoredS: number | null): string {
  if (file.anchor === null) return "The members for the time: no Bitcoin block vouches for it yet.";
  if (anchoredS === null) {
    return `The members for the time: the anchor is on ${file.genesis.bitcoinNetwork}, a test network whose headers cost next to nothing, so it proves nothing about time.`;
  }
  return `That the anchor's Bitcoin block is in the chain everybody follows; if it is, the receipt existed when that block was mined, about ${utc(anchoredS)} (its miner's clock, within two hours).`;
}
