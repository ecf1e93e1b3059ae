/** The tasks that the ledger holds, the newest first. */

import { useState } from "react";
import { useCall } from "../api/live";
import { More, PAGE } from "../parts/more";
import { Answered, Table } from "../parts/panel";
import { brief, clock, count, ending, words } from "../parts/words";
import { to } from "../route";

const STATES = [
  "",
  "pending",
  "assigned",
  "committed",
  "disputed",
  "final",
  "cancelled",
  "expired",
];

/** The list. */
export function TasksPage() {
  const [state, setState] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const tasks = useCall("task.list", { limit, state });
  return (
    <>
      <h1>Tasks</h1>
      <label>
        Show{" "}
        <select value={state} onChange={(event) => setState(event.target.value)}>
          {STATES.map((each) => (
            <option key={each} value={each}>
              {each || "all"}
            </option>
          ))}
        </select>
      </label>
      <Answered of={tasks}>
        {(answer) => (
          <section className="panel">
            <p className="faint">
              {count(answer.tasks.length)} of {count(answer.total)}
            </p>
            <Table
              caption="Tasks"
              columns={["task", "state", "outcome", "verdict", "gas", "replicas", "submitted"]}
              rows={answer.tasks}
              none="There are none. The page “Submit” makes one."
              keyOf={(task) => task.task_id}
              cells={(task) => [
                <a key="task" className="mono" href={to("tasks", task.task_id)}>
                  {brief(task.task_id)}
                </a>,
                words(task.state),
                ending(task),
                words(task.verdict) || "–",
                count(task.gas),
                count(task.replicas),
                clock(task.submitted_ms),
              ]}
            />
            <More
              shown={answer.tasks.length}
              total={answer.total}
              next={answer.next}
              onMore={setLimit}
            />
          </section>
        )}
      </Answered>
    </>
  );
}
