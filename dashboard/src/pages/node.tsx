/** One node, as this daemon's ledger and its peers see it. */

import { lazy, Suspense } from "react";
import { useCall } from "../api/live";
import { causesOf, conditionOf } from "../parts/condition";
import { Answered, Facts } from "../parts/panel";
import { brief, latency, sat } from "../parts/words";
import { to } from "../route";

const TelemetryPanel = lazy(async () => ({
  default: (await import("../parts/telemetry")).TelemetryPanel,
}));

/** What the owner of the daemon that is asked has taken away: only this node says it of itself. */
function Caps({ of }: { of: string }) {
  const { answer } = useCall("status", {});
  if (answer?.node !== of) return null;
  const { caps, text } = answer.owner;
  const memory = caps.memory_bytes_max / 2 ** 20;
  return (
    <section className="panel" aria-label="What its owner lets it do">
      <h2>What its owner lets it do</h2>
      <Facts
        of={[
          ["now", text],
          ["processor", `${caps.cpu_percent} % of all cores, ${caps.capacity} at once`],
          ["memory", memory ? `${memory.toFixed(0)} MiB for all executions` : "as set up"],
          ["hours", caps.hours.join("; ") || "always"],
          ["on battery", caps.on_battery ? "works" : "takes no work"],
          ["on metered networks", caps.on_metered ? "works" : "takes no work"],
          ["takes none of", caps.refuses.join(", ") || "–"],
          ["paused", caps.paused ? "yes" : "no"],
        ]}
      />
    </section>
  );
}

/** The page of a node. */
export function NodePage({ id }: { id: string }) {
  const shown = useCall("node.show", { node: id });
  return (
    <>
      <h1>{shown.answer?.name || brief(id)}</h1>
      <Answered of={shown}>
        {(node) => {
          const [tone, condition] = conditionOf(node);
          return (
            <>
              <section className="panel">
                <Facts
                  of={[
                    [
                      "id",
                      <span key="id" className="mono">
                        {node.id}
                      </span>,
                    ],
                    [
                      "condition",
                      <span key="tone" className={tone}>
                        {condition}
                      </span>,
                    ],
                    [
                      "safe mode",
                      <span
                        key="safe"
                        className={node.safe_mode ? "wait" : ""}
                        data-testid="causes"
                      >
                        {causesOf(node)}
                      </span>,
                    ],
                    ["health", node.health_percent === null ? "–" : `${node.health_percent} %`],
                    ["trust", node.reputation.toFixed(3)],
                    ["committee", node.committee ? "member" : "no"],
                    ["kind", node.kind],
                    ["region", node.region],
                    ["engine", node.engine],
                    [
                      "balance",
                      <a key="balance" href={to("account", node.id)}>
                        {sat(node.balance_msat)}
                      </a>,
                    ],
                    ["bond", sat(node.bond_msat)],
                    ["work", node.closed || "its owner lets it take some"],
                    ["at once", `${node.capacity ?? 1}, ${node.open_slots} in hand`],
                    ["takes none of", node.refuses.join(", ") || "–"],
                    ["one way from here", latency(node.link_us)],
                  ]}
                />
              </section>
              <Caps of={node.id} />
              <Suspense fallback={<p className="faint">…</p>}>
                <TelemetryPanel id={node.id} />
              </Suspense>
            </>
          );
        }}
      </Answered>
    </>
  );
}
