/** Bitcoin that came in and went out, and whether the coins cover what the ledger owes. */

import { useCall } from "../api/live";
import { Answered, Facts, Table } from "../parts/panel";
import { count, sat, words } from "../parts/words";

const EVERY_MS = 10_000;

/** This node's peg-ins and payments, and the federation's reserve. */
export function PegPage() {
  const list = useCall("peg.list", {}, EVERY_MS);
  const audit = useCall("peg.audit", {}, EVERY_MS);
  return (
    <>
      <h1>Peg</h1>
      <Answered of={audit}>
        {(answer) => (
          <section className="panel">
            <h2>Reserve</h2>
            {answer.fault && (
              <p className="bad" role="alert">
                {answer.fault}
              </p>
            )}
            {answer.unaudited.length > 0 && (
              <p className="bad" role="alert">
                REAL BITCOIN, NOT AUDITED: {answer.unaudited.join("; ")}
              </p>
            )}
            <Facts
              of={[
                ["network", answer.network],
                ["the coins hold", `${count(answer.held_sat)} sat`],
                ["waits below the bound", `${count(answer.waiting_sat)} sat`],
                ["bound", answer.most_sat ? `${count(answer.most_sat)} sat` : "none"],
                ["the ledger owes", sat(answer.owed_msat)],
                ["came in", `${count(answer.in_sat)} sat`],
                ["went out", `${count(answer.out_sat)} sat`],
                ["fees", `${count(answer.fees_sat)} sat`],
                ["missing", `${count(answer.missing_sat)} sat`],
              ]}
            />
          </section>
        )}
      </Answered>
      {!isSame(list.problem, audit.problem) && (
        <Answered of={list}>
          {(answer) => (
            <section className="panel">
              <h2>This node's</h2>
              {answer.unseen && <p className="wait">{answer.unseen}</p>}
              <Table
                caption="Peg-ins"
                columns={["output", "value", "state", "confirmations"]}
                rows={answer.peg_ins}
                none="Nothing came in."
                keyOf={(each) => each.outpoint}
                cells={(each) => [
                  <span key="output" className="mono">
                    {each.outpoint}
                  </span>,
                  `${count(each.value_sat)} sat`,
                  words(each.state),
                  `${count(each.confirmations)} of ${count(each.confirmations_needed)}`,
                ]}
              />
              <Table
                caption="Payments"
                columns={[
                  "payment",
                  "kind",
                  "state",
                  "arrives",
                  "fee",
                  "signatures",
                  "transaction",
                ]}
                rows={answer.payments}
                none="Nothing goes out."
                keyOf={(each) => String(each.payment)}
                cells={(each) => [
                  count(each.payment),
                  words(each.kind),
                  words(each.state),
                  `${count(each.arrives_sat)} sat`,
                  `${count(each.fee_sat)} sat`,
                  `${count(each.signatures)} of ${count(each.needed)}`,
                  <span key="txid" className="mono">
                    {each.txid || "–"}
                  </span>,
                ]}
              />
            </section>
          )}
        </Answered>
      )}
    </>
  );
}

/** Tell whether both were refused for one reason, which is said once. */
function isSame(first: Error | null, second: Error | null): boolean {
  return first !== null && first.message === second?.message;
}
