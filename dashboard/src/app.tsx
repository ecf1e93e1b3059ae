/** The dashboard: navigation, the state of the link, and one page. */

import { type ReactNode, useEffect, useRef } from "react";
import type { Link } from "./api/events";
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
import { SubmitPage } from "./pages/submit";
import { TasksPage } from "./pages/tasks";
import { Guard, later } from "./parts/later";
import { TokenForm } from "./parts/token_form";
import { brief } from "./parts/words";
import { to, useRoute } from "./route";

// Charts and checks are most of the bytes, and most visits need neither.
const TaskPage = later(async () => (await import("./pages/task")).TaskPage);
const StudiesPage = later(async () => (await import("./pages/studies")).StudiesPage);
const StudyPage = later(async () => (await import("./pages/studies")).StudyPage);
const loadVerify = async () => (await import("./pages/verify")).VerifyPage;
const VerifyPage = later(loadVerify);

const VERIFY_MS = 2_000;
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

const LINKS: Readonly<Record<Link, string>> = {
  connecting: "○ …",
  live: "● live",
  lost: "○ the daemon is away, trying again",
  refused: "○ the daemon asks for a token",
};

/** The whole page. */
export function App() {
  const route = useRoute();
  const content = useRef<HTMLElement>(null);
  const at = route.join("/");
  const last = useRef(at);
  useEffect(() => {
    document.title = titleOf(at.split("/"));
    // Who reads by ear or goes by keyboard begins where the new page does.
    if (last.current !== at) content.current?.focus();
    last.current = at;
  }, [at]);
  // A check has to work with the network off: it is fetched before it is asked for.
  useEffect(() => void setTimeout(() => void loadVerify().catch(() => null), VERIFY_MS), []);
  return (
    <LiveMesh>
      <button type="button" className="skip" onClick={() => content.current?.focus()}>
        Skip to the content
      </button>
      <Navigation />
      <main id="content" tabIndex={-1} ref={content}>
        <Page />
      </main>
    </LiveMesh>
  );
}

function titleOf([page = "", id = "", name]: readonly string[]): string {
  const shown = PAGES.find(([path]) => path === page)?.[1] ?? (page === "nodes" ? "Node" : "");
  return [name ?? brief(id), shown, "Ambient"].filter(Boolean).join(" · ");
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
        {LINKS[link]}
      </p>
    </header>
  );
}

function Page() {
  const route = useRoute();
  const [page = "", id, name, version] = route;
  const status = useCall("status", {});
  const isRefused = status.problem?.status === 401;
  const form = <TokenForm isAlone={status.answer === null} onToken={status.refresh} />;
  // What was shown and filled in stays when a token expires; a check asks nobody.
  if (isRefused && status.answer === null && page !== "verify") return form;
  const cluster = status.answer?.fingerprint ?? "";
  const pages: Record<string, () => ReactNode> = {
    "": () => <MeshPage status={status} />,
    nodes: () => <NodePage id={id ?? ""} />,
    tasks: () => (id ? <TaskPage id={id} cluster={cluster} /> : <TasksPage />),
    submit: () => <SubmitPage name={id && name ? `${id}/${name}@${version}` : ""} />,
    modules: () => (id && name ? <ModulePage publisher={id} name={name} /> : <ModulesPage />),
    studies: () => (id ? <StudyPage id={id} /> : <StudiesPage />),
    anchors: () => <AnchorsPage />,
    committee: () => <CommitteePage />,
    account: () => <AccountPage id={id} />,
    peg: () => <PegPage />,
    invite: () => <InvitePage />,
    blames: () => <BlamesPage />,
    verify: () => <VerifyPage knownCluster={cluster} />,
  };
  const show = Object.hasOwn(pages, page) ? pages[page] : () => <NoPage />;
  return (
    <>
      {isRefused && form}
      <Guard key={route.join("/")}>{show?.()}</Guard>
    </>
  );
}

function NoPage() {
  return (
    <>
      <h1>There is no such page</h1>
      <p>
        The pages are named above; <a href={to()}>the mesh</a> is the first.
      </p>
    </>
  );
}
