/** The dashboard: navigation, the state of the link, and one page. */

import { lazy, type ReactNode, Suspense } from "react";
import { LiveMesh, useCall, useLive } from "./api/live";
import { AccountPage } from "./pages/account";
import { AnchorsPage } from "./pages/anchors";
import { BlamesPage } from "./pages/blames";
import { CommitteePage } from "./pages/committee";
import { InvitePage } from "./pages/invite";
import { MeshPage } from "./pages/mesh";
import { ModulePage, ModulesPage } from "./pages/modules";
import { NodePage } from "./pages/node";
import { PegPage } from "./pages/peg";
import { StudiesPage, StudyPage } from "./pages/studies";
import { SubmitPage } from "./pages/submit";
import { TaskPage } from "./pages/task";
import { TasksPage } from "./pages/tasks";
import { TokenForm } from "./parts/token_form";
import { to, useRoute } from "./route";

const VerifyPage = lazy(async () => ({ default: (await import("./pages/verify")).VerifyPage }));

const PAGES = [
  ["", "Mesh"],
  ["tasks", "Tasks"],
  ["submit", "Submit"],
  ["modules", "Modules"],
  ["studies", "Studies"],
  ["anchors", "Anchors"],
  ["committee", "Committee"],
  ["account", "Account"],
  ["peg", "Peg"],
  ["invite", "Invite"],
  ["blames", "Blames"],
  ["verify", "Verify"],
] as const;

/** The whole page. */
export function App() {
  return (
    <LiveMesh>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Navigation />
      <main id="content" tabIndex={-1}>
        <Page />
      </main>
    </LiveMesh>
  );
}

function Navigation() {
  const [page = ""] = useRoute();
  const { link } = useLive();
  return (
    <header>
      <nav aria-label="Pages">
        <strong>Ambient</strong>
        {PAGES.map(([path, name]) => (
          <a key={path} href={to(path)} aria-current={page === path ? "page" : undefined}>
            {name}
          </a>
        ))}
      </nav>
      <p className={link === "live" ? "good" : "wait"} role="status" data-testid="link">
        {link === "live"
          ? "● live"
          : link === "lost"
            ? "○ the daemon is away, trying again"
            : "○ …"}
      </p>
    </header>
  );
}

function Page() {
  const [page = "", id, name, version] = useRoute();
  const status = useCall("status", {});
  if (status.problem?.status === 401) return <TokenForm onToken={status.refresh} />;
  const cluster = status.answer?.fingerprint ?? "";
  const pages: Record<string, () => ReactNode> = {
    "": () => <MeshPage status={status} />,
    nodes: () => <NodePage id={id ?? ""} />,
    tasks: () => (id ? <TaskPage id={id} cluster={cluster} /> : <TasksPage />),
    submit: () => (
      <SubmitPage key={`${id}/${name}`} name={id && name ? `${id}/${name}@${version}` : ""} />
    ),
    modules: () => (id && name ? <ModulePage publisher={id} name={name} /> : <ModulesPage />),
    studies: () => (id ? <StudyPage id={id} /> : <StudiesPage />),
    anchors: () => <AnchorsPage />,
    committee: () => <CommitteePage />,
    account: () => <AccountPage key={id} id={id} />,
    peg: () => <PegPage />,
    invite: () => <InvitePage />,
    blames: () => <BlamesPage />,
    verify: () => (
      <Suspense fallback={<p className="faint">…</p>}>
        <VerifyPage key={cluster} knownCluster={cluster} />
      </Suspense>
    ),
  };
  const show = pages[page] ?? (() => <p>There is no such page.</p>);
  return <>{show()}</>;
}
