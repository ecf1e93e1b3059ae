/** Who was convicted, and by what. */

import { useState } from "react";
import { useCall } from "../api/live";
import { More, PAGE } from "../parts/more";
import { Answered, Table } from "../parts/panel";
import { brief, words } from "../parts/words";
import { to } from "../route";

/** The convicted nodes that this one holds evidence against. */
export function BlamesPage() {
  const [limit, setLimit] = useState(PAGE);
  const blames = useCall("blame.list", { limit });
  return (
    <>
      <h1>Blames</h1>
      <Answered of={blames}>
        {(answer) => (
          <section className="panel">
            <Table
              caption="Blames"
              columns={["node", "of", "task", "certificate"]}
              rows={answer.blames}
              none="Nobody was convicted."
              keyOf={(blame) => blame.node + blame.kind}
              cells={(blame) => [
                <a key="node" href={to("nodes", blame.node)}>
                  {blame.name || brief(blame.node)}
                </a>,
                words(blame.kind),
                blame.task === null ? (
                  "–"
                ) : (
                  <a key="task" className="mono" href={to("tasks", blame.task)}>
                    {brief(blame.task)}
                  </a>
                ),
                blame.exportable ? `ambientctl blame export ${brief(blame.node)}` : "not here",
              ]}
            />
            <More shown={answer.blames.length} total={null} next={answer.next} onMore={setLimit} />
          </section>
        )}
      </Answered>
    </>
  );
}
