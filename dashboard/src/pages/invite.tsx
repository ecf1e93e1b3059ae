/** Bring a node in: a join token, and what its owner does with it. */

import { type FormEvent, useState } from "react";
import { call, Problem } from "../api/client";
import type { Invitation } from "../api/table";
import { Facts } from "../parts/panel";
import { clock } from "../parts/words";

const HOUR_MS = 3_600_000;
const SPANS: readonly (readonly [name: string, ms: number])[] = [
  ["an hour", HOUR_MS],
  ["a day", 24 * HOUR_MS],
  ["a week", 7 * 24 * HOUR_MS],
];

/** The form. */
export function InvitePage() {
  const [expires, setExpires] = useState(24 * HOUR_MS);
  const [invitation, setInvitation] = useState<Invitation | null>(null);
  const [said, setSaid] = useState("");

  async function invite(event: FormEvent) {
    event.preventDefault();
    setSaid("");
    setInvitation(null);
    try {
      setInvitation(await call("cluster.invite", { expires_in_ms: expires }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setSaid(`${error.message}. ${error.hint}`);
    }
  }

  return (
    <>
      <h1>Invite a node</h1>
      <form className="panel" onSubmit={(event) => void invite(event)}>
        <p>
          A join token lets one more node into the cluster. Whoever has it can use it, once, until
          it expires: hand it on as you would a key.
        </p>
        <label>
          It expires in{" "}
          <select value={expires} onChange={(event) => setExpires(Number(event.target.value))}>
            {SPANS.map(([name, ms]) => (
              <option key={ms} value={ms}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <button type="submit">Make a join token</button>
      </form>
      {invitation && (
        <section className="panel" aria-label="Join token">
          {invitation.loopback && (
            <p className="bad">
              Only this machine can dial its addresses: see [transport] in config.toml for others.
            </p>
          )}
          <p>On the new device:</p>
          <pre data-testid="join">ambientctl join {invitation.token}</pre>
          <Copy text={`ambientctl join ${invitation.token}`} />
          <Facts
            of={[
              ["expires", clock(invitation.expires_ms)],
              ["names", invitation.addresses.map((each) => each.split("@").at(-1)).join(", ")],
            ]}
          />
        </section>
      )}
      <p className="bad" role="alert">
        {said}
      </p>
    </>
  );
}

function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  // Pages that come over plain HTTP from another device have no clipboard.
  if (navigator.clipboard === undefined) return null;
  return (
    <button
      type="button"
      onClick={() => void navigator.clipboard.writeText(text).then(() => setDone(true))}
    >
      {done ? "Copied" : "Copy it"}
    </button>
  );
}
