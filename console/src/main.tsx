// The console of omeconf: what is shown where; everything begins here.
import { type FunctionComponent, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import "./style.css";
import { ApplicationView } from "./application";
import { Files } from "./files";
import { Compare, History } from "./history";
import { config, follow, load, model } from "./live";
import { Overview } from "./overview";
import { Failure, told } from "./parts";
import { route } from "./router";
import { status, token } from "./session";
import { Shell } from "./shell";
import { SignIn } from "./signin";

const VIEWS: Record<string, FunctionComponent> = {
  app: ApplicationView, history: History, compare: Compare, files: Files,
};

function Console() {
  const isIn = token.value !== null && status.value !== null;
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    if (!isIn) return;
    const stop = new AbortController();
    load().then(() => follow(stop.signal)).catch(setError);
    return () => stop.abort();
  }, [isIn]);
  useEffect(() => {
    document.title = [...route.value.slice(0, 3).reverse(), "omeconf"].join(" – ");
  }, [route.value]);
  if (!isIn) return <SignIn />;
  const View = VIEWS[route.value[0] ?? ""] ?? Overview;
  return (
    <Shell>
      {error !== null && <Failure error={error} />}
      {model.value && <View />}
    </Shell>
  );
}

/** Nothing of one user is left for the next. */
token.subscribe((now) => {
  if (now === null) config.value = told.value = null;
});

render(<Console />, document.getElementById("console")!);
