/** One node, as this daemon's ledger and its peers see it. */

import { lazy, Suspense } from "react";
import { useCall } from "../api/live";
import { conditionOf } from "../parts/condition";
import { Answered, Facts } from "../parts/panel";
import { brief, latency, sat } from "../parts/words";
import { to } from "../route";

const TelemetryPanel = lazy(async () => ({
  default: (await import("../parts/telemetry")).TelemetryPanel,
}));

/** The page of a node. */
export function NodePage({ id }: { id: string }) {
  const shown = useCall("node.show", { node: id });
  return (
    <Answered of={shown}>
      {(node) => {
        const [tone, condition] = conditionOf(node);
        return (
          <>
            <h1>{node.name || brief(node.id)}</h1>
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
                  ["one way from here", latency(node.link_us)],
                ]}
              />
            </section>
            <Suspense fallback={<p className="faint">…</p>}>
              <TelemetryPanel id={node.id} />
            </Suspense>
          </>
        );
      }}
    </Answered>
  );
}
