/** What nodes have, what is under way, and what tasks moved. */

import { useState } from "react";
import { useCall } from "../api/live";
import { More, PAGE } from "../parts/more";
import { Answered, Facts, Table } from "../parts/panel";
import { brief, clock, sat, words } from "../parts/words";
import { to } from "../route";

/** The account of a node; without an id of the one that serves this page, and then all others. */
export function AccountPage({ id }: { id?: string | undefined }) {
  const named = id === undefined ? {} : { node: id };
  const account = useCall("account.show", named);
  return (
    <>
      <h1>{id === undefined ? "Account" : `Account of ${account.answer?.name ?? brief(id)}`}</h1>
      <Answered of={account}>
        {(answer) => (
          <section className="panel" aria-label="Credits">
            <Facts
              of={[
                [
                  "node",
                  <a key="node" href={to("nodes", answer.node)}>
                    {answer.name || brief(answer.node)}
                  </a>,
                ],
                ["balance", sat(answer.balance_msat)],
                ["bond", sat(answer.bond_msat)],
                ["bond on its way back", sat(answer.waiting_msat)],
                ["back on", answer.due_ms === null ? "–" : clock(answer.due_ms)],
                ["held by", answer.held_by || "nothing"],
                ["in escrow for tasks", sat(answer.escrow_msat)],
                ["earned, not paid out yet", sat(answer.unvested_msat)],
                ["paid out by", answer.vests_ms === null ? "–" : clock(answer.vests_ms)],
              ]}
            />
          </section>
        )}
      </Answered>
      <History named={named} />
      {id === undefined && <Everybody />}
    </>
  );
}

function History({ named }: { named: { readonly node?: string } }) {
  const [limit, setLimit] = useState(PAGE);
  const history = useCall("account.history", { ...named, limit });
  return (
    <section className="panel">
      <h2>What tasks moved</h2>
      <Answered of={history}>
        {(answer) => (
          <>
            <Table
              caption="What tasks moved"
              columns={["task", "when", "what", "amount"]}
              rows={answer.entries}
              none="No task that the ledger still holds moved anything here."
              keyOf={(entry) => `${entry.task} ${entry.kind}`}
              cells={(entry) => [
                <a key="task" href={to("tasks", entry.task)} className="mono">
                  {brief(entry.task)}
                </a>,
                clock(entry.time_ms),
                words(entry.kind),
                sat(entry.amount_msat),
              ]}
            />
            <More
              shown={answer.entries.length}
              total={answer.total}
              next={answer.next}
              onMore={setLimit}
            />
          </>
        )}
      </Answered>
    </section>
  );
}

function Everybody() {
  const [limit, setLimit] = useState(PAGE);
  const accounts = useCall("account.list", { limit });
  return (
    <section className="panel">
      <h2>All accounts</h2>
      <Answered of={accounts}>
        {(answer) => (
          <>
            <Table
              caption="Accounts"
              columns={["node", "id", "balance", "bond", "on its way back"]}
              rows={answer.accounts}
              none="No node is known yet."
              keyOf={(line) => line.node}
              cells={(line) => [
                <a key="node" href={to("account", line.node)}>
                  {line.name || brief(line.node)}
                </a>,
                <span key="id" className="mono">
                  {brief(line.node)}
                </span>,
                sat(line.balance_msat),
                line.tombstoned ? "convicted" : sat(line.bond_msat),
                sat(line.waiting_msat),
              ]}
            />
            <More
              shown={answer.accounts.length}
              total={answer.total}
              next={answer.next}
              onMore={setLimit}
            />
          </>
        )}
      </Answered>
    </section>
  );
}
