/** How a node is. */

import type { NodeInfo } from "../api/table";

/** What trips a breaker (protocols/07 section 7), as a person may act on it. */
const CAUSES: Readonly<Record<string, string>> = {
  hot: "it is too hot, and hands its work on until it has cooled",
  slow: "its peers hear it too late",
  oversized: "it was sent a block or a batch that is too large",
  failing: "too many of its executions failed, one after the other",
};

/** Say what holds a node in safe mode; a cause that this page does not know is named as it is. */
export function causesOf({ safe_mode, causes }: NodeInfo): string {
  if (!safe_mode) return "no";
  if (causes.length === 0) return "yes; it has not said why";
  return causes.map((each) => `${each}: ${CAUSES[each] ?? "see its log"}`).join("; ");
}

export type Tone = "good" | "wait" | "bad" | "faint";

/** What a colour says, of a node. */
export const MEANINGS: readonly (readonly [tone: Tone, text: string])[] = [
  ["good", "takes work"],
  ["wait", "in safe mode, or takes no work"],
  ["bad", "convicted"],
  ["faint", "away"],
];

/** Say how a node is, in words and a colour: its score leaves out what it cannot know, and colours nothing. */
export function conditionOf(node: NodeInfo): readonly [Tone, string] {
  if (node.tombstoned) return ["bad", "convicted"];
  if (!node.connected) return ["faint", "away"];
  if (node.safe_mode) {
    const causes = node.causes.length > 0 ? `: ${node.causes.join(", ")}` : "";
    return ["wait", `safe mode${causes}`];
  }
  if (!node.accepting)
    return ["wait", node.closed ? `takes no work: ${node.closed}` : "takes no work"];
  return ["good", "takes work"];
}
