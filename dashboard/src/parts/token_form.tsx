/** Asks for the token that this daemon wants of its callers. */

import { type FormEvent, useId, useState } from "react";
import { setToken, token } from "../api/client";

/** A token stays in this tab, and is gone when the tab is closed. */
export function TokenForm({ onToken, isAlone }: { onToken: () => void; isAlone: boolean }) {
  const id = useId();
  const [text, setText] = useState("");
  const Heading = isAlone ? "h1" : "h2";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setToken(text);
    onToken();
  };
  return (
    <form className="panel" onSubmit={submit}>
      <Heading>This daemon asks who you are</Heading>
      {token() !== "" && (
        <p className="bad" role="alert">
          It takes the token of this tab no more, or never did: a token expires, and may be revoked.
        </p>
      )}
      <label htmlFor={id}>Token (`ambientctl token create` makes one)</label>
      <input
        id={id}
        type="password"
        autoComplete="off"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit">Use it in this tab</button>
    </form>
  );
}
