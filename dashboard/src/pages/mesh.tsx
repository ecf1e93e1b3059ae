/** The mesh at a glance: this node, the map, and who is in it. */

import { type Asked, useCall, useLive } from "../api/live";
import type { LinkTold, NodeInfo, Seen, Status } from "../api/table";
import { conditionOf } from "../parts/condition";
import { NodeMap } from "../parts/node_map";
import { Answered, Facts, Table } from "../parts/panel";
import { brief, clock, count, lasting, latency, sat, words } from "../parts/words";
import { to } from "../route";

const NO_LINKS: readonly LinkTold[] = [];
const LINKS_LISTED = 200;
const LATEST = 12;
const NODES_MS = 5_000;

/** The first page. */
export function MeshPage({ status }: { status: Asked<Status> }) {
  const nodes = useCall("nodes", {}, NODES_MS);
  const links = useCall("links", {}, NODES_MS);
  return (
    <>
      <h1>Mesh</h1>
      <Answered of={status}>{(answer) => <StatusPanel status={answer} />}</Answered>
      {(status.answer ?? status.problem) && (
        <Answered of={nodes}>
          {({ nodes: all, self_id }) => (
            <>
              <section className="panel">
                <h2>Map</h2>
                <NodeMap nodes={all} links={links.answer?.links ?? NO_LINKS} />
              </section>
              <section className="panel">
                <h2>Nodes ({count(all.length)})</h2>
                <NodeTable nodes={all} selfId={self_id} />
              </section>
              <LinksPanel nodes={all} links={links.answer?.links ?? NO_LINKS} />
              <Latest />
            </>
          )}
        </Answered>
      )}
    </>
  );
}

function StatusPanel({ status }: { status: Status }) {
  const tasks = Object.entries(status.tasks)
    .filter(([, much]) => much > 0)
    .map(([state, much]) => `${count(much)} ${words(state)}`);
  return (
    <section className="panel" aria-label="This node">
      {status.troubles.map(({ kind, text, hint }) => (
        <p key={kind + text} className="bad" role="alert">
          {text}: {hint}
        </p>
      ))}
      <Facts
        of={[
          ["node", `${status.name} (${brief(status.node)})`],
          ["cluster", status.cluster],
          ["log", `term ${count(status.term)}, height ${count(status.committed_height)}`],
          ["peers", count(status.peers.length)],
          ["seen by others", seen(status.seen)],
          ["health", status.health_percent === null ? "–" : `${status.health_percent} %`],
          ["tasks", tasks.join(", ") || "none"],
          ["chain", `${status.chain.kind}, ${status.chain.state}`],
          ["balance", sat(status.balance_msat)],
          ["up", lasting(status.uptime_ms)],
          ["version", status.version],
        ]}
      />
    </section>
  );
}

function NodeTable({ nodes, selfId }: { nodes: readonly NodeInfo[]; selfId: string }) {
  return (
    <Table
      caption="Nodes"
      columns={["name", "id", "condition", "health", "trust", "kind", "region", "engine", "link"]}
      rows={nodes}
      none="No node is known yet."
      keyOf={(node) => node.id}
      cells={(node) => {
        const [tone, condition] = conditionOf(node);
        return [
          <a key="name" href={to("nodes", node.id)}>
            {node.name || brief(node.id)}
            {node.id === selfId && " (this one)"}
          </a>,
          <span key="id" className="mono">
            {brief(node.id)}
          </span>,
          <span key="condition" className={tone}>
            {condition}
          </span>,
          node.health_percent === null ? "–" : `${node.health_percent} %`,
          node.reputation.toFixed(2),
          node.committee ? `${node.kind}, member` : node.kind,
          node.region,
          node.engine,
          latency(node.link_us),
        ];
      }}
    />
  );
}

/** Say how peers see this node. */
function seen({ answered, tried, reached, port, saying, linked, age_ms, relays }: Seen): string {
  if (age_ms === null) return "no peer was asked yet";
  const said = [`${count(answered)} asked, ${lasting(age_ms)} ago`];
  if (tried > 0) said.push(`${count(reached)} of ${count(tried)} reach port ${port}`);
  if (relays > 0) said.push(`reachable by relay, through members: ${count(relays)}`);
  if (saying > 0) said.push(`${count(linked)} of ${count(saying)} have a link to it`);
  return said.join("; ");
}

function LinksPanel({ nodes, links }: { nodes: readonly NodeInfo[]; links: readonly LinkTold[] }) {
  const names = new Map(nodes.map(({ id, name }) => [id, name]));
  const nameOf = (id: string) => <a href={to("nodes", id)}>{names.get(id) || brief(id)}</a>;
  return (
    <section className="panel">
      <details>
        <summary>Links, as the nodes themselves say ({count(links.length)})</summary>
        <Table
          caption="Links"
          columns={["node", "has a link to", "one way", "said"]}
          rows={links.slice(0, LINKS_LISTED)}
          none="No node has said anything of its links yet."
          keyOf={({ by, to: other }) => by + other}
          cells={({ by, to: other, one_way_us, age_ms }) => [
            nameOf(by),
            nameOf(other),
            latency(one_way_us),
            age_ms === 0 ? "now" : `${lasting(age_ms)} ago`,
          ]}
        />
      </details>
    </section>
  );
}

function Latest() {
  const { events } = useLive();
  return (
    <section className="panel">
      <h2>Latest</h2>
      {events.length === 0 && (
        <p className="faint">Nothing has happened since this page was opened.</p>
      )}
      <ul className="events">
        {events.slice(0, LATEST).map((event) => (
          <li key={`${event.time_ms} ${event.kind} ${event.text}`}>
            <time dateTime={new Date(event.time_ms).toISOString()}>{clock(event.time_ms)}</time>{" "}
            {event.text}
          </li>
        ))}
      </ul>
    </section>
  );
}
