/** How a node is. */

import type { NodeInfo } from "../api/table";

/** Say how a node is, in words and a colour. */
export function conditionOf(node: NodeInfo): readonly ["good" | "wait" | "bad" | "faint", string] {
  if (node.tombstoned) return ["bad", "convicted"];
  if (!node.connected) return ["faint", "away"];
  if (node.safe_mode) {
    const causes = node.causes.length > 0 ? `: ${node.causes.join(", ")}` : "";
    return ["wait", `safe mode${causes}`];
  }
  return node.accepting ? ["good", "takes work"] : ["wait", "takes no work"];
}
