// One application: as a form, or as XML.
import { applicationPath, findApplication, placesOf } from "./configuration";
import { config } from "./live";
import { ApplicationForm } from "./appform";
import { ApplicationXml } from "./appxml";
import { Notice } from "./parts";
import { route, to } from "./router";

const TABS: [string, string][] = [["Form", "form"], ["XML", "xml"]];

export function ApplicationView() {
  const [, host = "", name = "", tab = "form", inside = ""] = route.value;
  const loaded = config.value;
  if (!loaded) return null;
  const value = findApplication(loaded.value, host, name);
  const path = applicationPath(host, name);
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
      {value === null && <Notice tone="warning"><p>There is no such application any more.</p></Notice>}
      {value !== null && (tab === "xml"
        ? <ApplicationXml key={path} path={path} name={name} />
        : <ApplicationForm key={`${path} ${inside}`} path={path} host={host} name={name}
            places={placesOf(loaded.value, host, name)} now={{ value, tag: loaded.tag }} inside={inside} />)}
    </>
  );
}
