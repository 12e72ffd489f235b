// The way in: the API's token, tried before it is taken.
import { useEffect, useRef, useState } from "preact/hooks";
import { getStatus, Problem } from "./api";
import { Failure } from "./parts";
import { signIn, signOut, status, token } from "./session";

export function SignIn() {
  const [error, setError] = useState<unknown>(null);
  const field = useRef<HTMLInputElement>(null);
  const enter = async (given: string) => {
    try {
      signIn(given);
      status.value = await getStatus();
    } catch (found) {
      if (!(found instanceof Problem) || found.status !== 0) signOut();
      setError(found);
    }
  };
  useEffect(() => {
    if (token.value !== null) void enter(token.value); // the page was loaded again
    else field.current!.focus();
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    const given = field.current!.value.trim();
    if (given) void enter(given);
  };
  return (
    <main class="signin">
      <form class="panel" onSubmit={submit}>
        <h1><img src="icon.svg" alt="" width={32} height={32} /> omeconf</h1>
        <p class="quiet">The configuration of OvenMediaEngine: see it, change it, undo it.</p>
        {error !== null && <Failure error={error} />}
        <label class="wide">
          <span>Access token</span>
          <input ref={field} type="password" name="token" required autocomplete="off" spellcheck={false} />
        </label>
        <button type="submit" class="primary">Sign in</button>
        <p class="quiet small">The token of the API: <code>Managers/API/AccessToken</code> in Server.xml, or
          one from <code>omeconf token</code>. It is kept until this tab is closed.</p>
      </form>
    </main>
  );
}
