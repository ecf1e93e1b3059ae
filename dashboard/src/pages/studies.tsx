/** Federated learning: the studies, and what the rounds of one came to. */

import { useMemo, useState } from "react";
import { useCall } from "../api/live";
import type { RoundInfo, StudyDetail, StudyInfo } from "../api/table";
import { Chart, type ChartLine } from "../parts/chart";
import { More, PAGE } from "../parts/more";
import { Answered, type Fact, Facts, Table } from "../parts/panel";
import { brief, count, epsilon, figure, sat, words } from "../parts/words";
import { to } from "../route";

/** The studies that the ledger knows, those that go on first. */
export function StudiesPage() {
  const [limit, setLimit] = useState(PAGE);
  const studies = useCall("fl.list", { limit });
  return (
    <>
      <h1>Studies</h1>
      <Answered of={studies}>
        {(answer) => (
          <section className="panel">
            <Table
              caption="Studies"
              columns={["study", "state", "rounds", "participants", "model", "this node"]}
              rows={answer.studies}
              none="None is known. `ambientctl fl start` begins one."
              keyOf={(study) => study.study}
              cells={(study) => [
                <a key="study" href={to("studies", study.study)}>
                  {study.name} <span className="mono">{brief(study.study)}</span>
                </a>,
                words(study.state),
                `${count(study.done)} of ${count(study.rounds)}`,
                count(study.participants.length),
                study.model,
                study.takes_part ? "takes part" : "–",
              ]}
            />
            <More shown={answer.studies.length} total={null} next={answer.next} onMore={setLimit} />
          </section>
        )}
      </Answered>
    </>
  );
}

/** One study: how good its model became, who took part, and what others can see. */
export function StudyPage({ id }: { id: string }) {
  const study = useCall("fl.show", { study: id });
  return (
    <>
      <h1>{study.answer?.study.name ?? brief(id)}</h1>
      <Answered of={study}>{(answer) => <Study of={answer} />}</Answered>
    </>
  );
}

function Study({ of: { study, rounds } }: { of: StudyDetail }) {
  const named = study.tolerance ? ["named"] : [];
  const last = study.private ? ["epsilon", "false shares"] : ["accuracy", "loss", ...named];
  return (
    <>
      <section className="panel">
        <Facts of={factsOf(study)} />
      </section>
      <Curves rounds={rounds} study={study} />
      <section className="panel">
        <Table
          caption="Rounds"
          columns={["round", "state", "in it", "fell out", "left out", ...last]}
          rows={rounds}
          none="No round has begun."
          keyOf={(round) => String(round.round)}
          cells={(round) => [
            String(round.round),
            round.reason ? `${words(round.state)}: ${round.reason}` : words(round.state),
            count(round.participants),
            count(round.ended_ms ? round.participants - round.survivors : null),
            round.left_out.length ? round.left_out.map(brief).join(", ") : "–",
            ...(study.private ? privateCells(round) : openCells(round)),
            ...(study.tolerance ? [liars(round)] : []),
          ]}
        />
      </section>
    </>
  );
}

function openCells(round: RoundInfo): string[] {
  return [accuracy(round) === null ? "–" : `${figure(accuracy(round))} %`, figure(round.loss)];
}

function privateCells(round: RoundInfo): string[] {
  return [epsilon(round.epsilon), liars(round)];
}

/** Name whose shares were false, whose update was no training's, or who showed no rows. */
function liars(round: RoundInfo): string {
  const named = (node: string) =>
    round.unshown.includes(node) ? `${brief(node)} showed no rows` : brief(node);
  return round.faulty.map(named).join(", ") || "–";
}

function factsOf(study: StudyInfo): Fact[] {
  return [
    ["study", <span className="mono">{study.study}</span>],
    ["state", study.reason ? `${words(study.state)}: ${study.reason}` : words(study.state)],
    ["begun by", <a href={to("nodes", study.author)}>{brief(study.author)}</a>],
    ["model", study.model],
    ["training", `${study.trainer}, ${study.aggregation}`],
    ["rounds", `${count(study.done)} of ${count(study.rounds)}`],
    ["take part", nodes(study.participants)],
    ["took part earlier", nodes(study.earlier)],
    ["left of the price", sat(study.escrow_msat)],
    ["privacy", privacyOf(study)],
    ...costs(study),
  ];
}

function nodes(of: readonly string[]) {
  if (of.length === 0) return "nobody";
  return of.map((node) => (
    <a key={node} className="mono" href={to("nodes", node)}>
      {brief(node)}{" "}
    </a>
  ));
}

/** Say what a private study costs, and what this node has spent: its own book has it, no other. */
function costs({ privacy, rounds }: StudyInfo): Fact[] {
  if (privacy === null) return [];
  if (privacy.epsilon_round === null) return [["epsilon", "no noise, so nothing is claimed"]];
  const once = epsilon(privacy.epsilon_round);
  const all = epsilon(privacy.epsilon_rounds);
  const limit = privacy.limit === null ? "nothing is allowed" : `${epsilon(privacy.limit)} allowed`;
  const wasted = privacy.wasted ? `, ${count(privacy.wasted)} of them for nothing` : "";
  return [
    ["epsilon", `${once} for one round, ${all} for ${count(rounds)}, at delta ${privacy.delta}`],
    [
      "spent here",
      `${epsilon(privacy.spent)}, ${limit}; ${count(privacy.releases)} updates within sums${wasted}`,
    ],
  ];
}

/** Say what others can see. */
function privacyOf(study: StudyInfo): string {
  if (study.private) return "only sums over groups can be read; who takes part, all can see";
  if (study.audits)
    return `none: all can have the updates and the data; ${count(study.audits)} a round are audited`;
  return "none: all can have the updates, from which data can be told in part";
}

function Curves({ rounds, study }: { rounds: readonly RoundInfo[]; study: StudyInfo }) {
  const isPrivate = study.private;
  const limit = study.privacy?.limit ?? null;
  const ended = useMemo(() => rounds.filter((round) => round.ended_ms > 0), [rounds]);
  const times = useMemo(() => ended.map((round) => round.ended_ms), [ended]);
  const came = useMemo(
    () =>
      isPrivate
        ? spending(ended, limit)
        : [{ name: "accuracy", unit: "%", values: ended.map(accuracy) }],
    [ended, isPrivate, limit],
  );
  const people = useMemo(
    () => [
      { name: "in the round", unit: "", values: ended.map((round) => round.participants) },
      { name: "survivors", unit: "", values: ended.map((round) => round.survivors) },
    ],
    [ended],
  );
  if (ended.length < 2) return null;
  // Nobody scores a private model, and nothing bounds what one without noise gives away.
  const isKnown = came[0]?.values.some((value) => value !== null);
  const title = isPrivate ? "Privacy spent by who was in every round" : "Accuracy on held-out data";
  return (
    <section className="panel charts">
      {isKnown && <Chart title={title} times={times} lines={came} />}
      <Chart title="Participants" times={times} lines={people} />
    </section>
  );
}

/** Give what a round after the other has cost whoever was in all, beside what is allowed here. */
function spending(ended: readonly RoundInfo[], limit: number | null): ChartLine[] {
  const lines = [
    { name: "epsilon", unit: "", write: epsilon, values: ended.map((round) => round.epsilon) },
  ];
  if (limit === null) return lines;
  return [
    ...lines,
    { name: "allowed here", unit: "", write: epsilon, values: ended.map(() => limit) },
  ];
}

function accuracy({ correct, total }: RoundInfo): number | null {
  return total === 0 ? null : (100 * correct) / total;
}
