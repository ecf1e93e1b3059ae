/** What a node said of itself over the last hour or day. */

import { useMemo, useState } from "react";
import { useCall } from "../api/live";
import type { NodeTelemetry, SeriesLine } from "../api/table";
import { Chart, type ChartLine } from "./chart";
import { Answered, Table } from "./panel";
import { figure, words } from "./words";

const EVERY_MS = 10_000;
const STEPS_MIN = 30;
const SPANS = ["hour", "day"];
const NAMES: Readonly<Record<string, string>> = {
  cpu_load_percent: "processor",
  memory_available_percent: "memory available",
  executions_count: "executions",
  capacity_slots: "slots",
  power_watt: "power",
  temperature_celsius: "temperature",
  battery_percent: "battery",
  latency_ms: "to its peers, as it says",
  link_ms: "from here",
  network_received_kbit_per_s: "received",
  network_sent_kbit_per_s: "sent",
};
const CHARTS: readonly (readonly [title: string, names: readonly string[]])[] = [
  ["Load", ["cpu_load_percent", "memory_available_percent"]],
  ["Executions", ["executions_count", "capacity_slots"]],
  ["Power", ["power_watt"]],
  ["Temperature", ["temperature_celsius"]],
  ["Battery", ["battery_percent"]],
  ["Latency, one way", ["link_ms", "latency_ms"]],
  ["Network", ["network_received_kbit_per_s", "network_sent_kbit_per_s"]],
];

/** The charts of a node. */
export function TelemetryPanel({ id }: { id: string }) {
  const [span, setSpan] = useState("hour");
  const telemetry = useCall("telemetry.show", { node: id, span }, EVERY_MS);
  return (
    <section className="panel" aria-label="Telemetry">
      <h2>Telemetry</h2>
      <fieldset className="choice">
        <legend>How far back</legend>
        {SPANS.map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="span"
              checked={span === each}
              onChange={() => setSpan(each)}
            />{" "}
            the last {each}
          </label>
        ))}
      </fieldset>
      <Answered of={telemetry}>{(answer) => <Lines of={answer} />}</Answered>
    </section>
  );
}

function Lines({ of: answer }: { of: NodeTelemetry }) {
  const { times, charts } = useMemo(() => {
    const [steps, first] = [answer.lines[0]?.values.length ?? 0, firstKnown(answer)];
    return {
      times: Array.from(
        { length: steps - first },
        (_, at) => answer.from_ms + (first + at) * answer.step_ms,
      ),
      charts: CHARTS.map(([title, names]) => [title, linesOf(answer, names, first)] as const),
    };
  }, [answer]);
  if (!answer.kept) {
    return <p className="faint">Nothing is kept of it here; ask at the node itself.</p>;
  }
  return (
    <>
      {answer.energy_wh !== null && (
        <p>
          Energy in this time: {figure(answer.energy_wh)} Wh, from its power (
          {answer.lines.find(({ name }) => name === "power_watt")?.source}).
        </p>
      )}
      <div className="charts">
        {charts.map(
          ([title, lines]) =>
            lines.length > 0 && <Chart key={title} title={title} times={times} lines={lines} />,
        )}
      </div>
      <Table
        caption="Last values"
        columns={["measure", "last", "unit", "source"]}
        rows={answer.lines}
        none="Nothing was heard of it in this time."
        keyOf={(line) => line.name}
        cells={(line) => [
          words(line.name),
          figure(line.values.findLast((value) => value !== null) ?? null),
          line.unit,
          line.source,
        ]}
      />
    </>
  );
}

/** Give the step to begin with: a node of an hour ago that was not there yet is no empty chart. */
function firstKnown({ lines }: NodeTelemetry): number {
  const starts = lines.map(({ values }) => values.findIndex((value) => value !== null));
  const steps = lines[0]?.values.length ?? 0;
  return Math.max(0, Math.min(...starts, steps - STEPS_MIN));
}

function linesOf(answer: NodeTelemetry, names: readonly string[], first: number): ChartLine[] {
  return names
    .map((name) => answer.lines.find((line) => line.name === name))
    .filter((line): line is SeriesLine => line !== undefined)
    .map(({ name, unit, values }) => ({
      name: NAMES[name] ?? words(name),
      unit,
      values: values.slice(first),
    }));
}
