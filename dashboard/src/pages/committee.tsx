/** Who keeps the log, and what was said about seats. */

import { useCall } from "../api/live";
import { Answered, Facts, Table } from "../parts/panel";
import { brief, count, sat } from "../parts/words";
import { to } from "../route";

/** The committee and the terms it works by. */
export function CommitteePage() {
  const members = useCall("member.list", {});
  const status = useCall("status", {});
  return (
    <>
      <h1>Committee</h1>
      <Answered of={members}>
        {(answer) => (
          <section className="panel">
            <Facts
              of={[
                ["epoch", count(answer.epoch)],
                [
                  "epoch's hash",
                  <span key="hash" className="mono">
                    {answer.epoch_hash}
                  </span>,
                ],
                ["since height", count(answer.since_height)],
                ["quorum", count(answer.quorum)],
                ["term", count(status.answer?.term)],
                ["coordinator", status.answer?.coordinator?.slice(0, 12) ?? "none at present"],
              ]}
            />
            <Table
              caption="Seats"
              columns={["node", "seat", "next epoch", "standing", "bond", "words"]}
              rows={answer.seats}
              none="Nobody keeps the log."
              keyOf={(seat) => seat.id}
              cells={(seat) => [
                <a key="node" href={to("nodes", seat.id)}>
                  {seat.name || brief(seat.id)}
                </a>,
                seat.member ? "member" : seat.asking ? "asks for one" : "–",
                seat.next === null ? "–" : seat.next ? "in" : "out",
                count(seat.standing),
                sat(seat.bond_msat),
                seat.words.map(({ node, wish }) => `${brief(node)}: ${wish}`).join(", ") || "–",
              ]}
            />
          </section>
        )}
      </Answered>
    </>
  );
}
