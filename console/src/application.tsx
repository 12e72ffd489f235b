// One application: as a form, or as XML.
import { useRef } from "preact/hooks";
import { applicationPath, findApplication, placesOf } from "./configuration";
import { config } from "./live";
import { ApplicationForm } from "./appform";
import { ApplicationXml } from "./appxml";
import { Notice } from "./parts";
import { route, to } from "./router";
import type { JsonObject } from "./types";

const TABS: [string, string][] = [["Form", "form"], ["XML", "xml"]];

export function ApplicationView() {
  const [, host = "", name = "", tab = "form", inside = ""] = route.value;
  const loaded = config.value;
  const path = applicationPath(host, name);
  const known = useRef<{ path: string; value: JsonObject } | null>(null);
  if (!loaded) return null;
  const found = findApplication(loaded.value, host, name);
  if (found) known.current = { path, value: found };
  // what was written in it stays on the screen, although it is gone
  const value = known.current?.path === path ? known.current.value : null;
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href={to()}>Overview</a> <span aria-hidden="true">/</span> {host}
      </nav>
      <div class="title">
        <h1>{name}</h1>
        <nav class="tabs" aria-label="Ways to edit">
          {TABS.map(([label, key]) => (
            <a key={key} href={to("app", host, name, key)} aria-current={key === tab ? "page" : undefined}>
              {label}
            </a>
          ))}
        </nav>
      </div>
      {found === null && <Notice tone="warning"><p>There is no such application any more.</p></Notice>}
      {value !== null && (tab === "xml"
        ? <ApplicationXml key={path} path={path} name={name} />
        : <ApplicationForm key={`${path} ${inside}`} path={path} host={host} name={name}
            places={placesOf(loaded.value, host, name)} now={{ value, tag: loaded.tag }} inside={inside} />)}
    </>
  );
}
