// The configuration as the tree of what streams: virtual hosts, applications, output profiles.
import { get } from "./draft";
import type { Json, JsonObject } from "./types";

export interface Application {
  name: string;
  value: JsonObject;
  profiles: string[];
  providers: string[];
  publishers: string[];
}

export interface Host {
  name: string;
  names: string[];
  applications: Application[];
}

/** What is not a protocol, but stands beside protocols in Publishers. */
const BESIDE = ["appWorkerCount", "streamWorkerCount"];

export function hosts(server: JsonObject): Host[] {
  return list(server, "virtualHosts", "virtualHost").map((host) => ({
    name: text(host, "name"),
    names: list(host, "host", "names").map(String),
    applications: list(host, "applications", "application").map(application),
  }));
}

export function findApplication(server: JsonObject, host: string, name: string): JsonObject | null {
  const found = hosts(server).find((each) => each.name === host);
  return found?.applications.find((each) => each.name === name)?.value ?? null;
}

export function applicationPath(host: string, name: string): string {
  return `/Server/VirtualHosts/VirtualHost[Name="${escaped(host)}"]/Applications/Application[Name="${escaped(name)}"]`;
}

/** The same by places, as violations have it: `/Server/VirtualHosts/VirtualHost[1]/...`. */
export function placesOf(server: JsonObject, host: string, name: string): string {
  const all = hosts(server);
  const at = all.findIndex((each) => each.name === host);
  const inner = all[at]?.applications.findIndex((each) => each.name === name) ?? -1;
  return `/Server/VirtualHosts/VirtualHost[${at + 1}]/Applications/Application[${inner + 1}]`;
}

/** The place of an output profile below its application. */
export function profilePlace(value: JsonObject, profile: string): string {
  return `OutputProfiles/OutputProfile[${application(value).profiles.indexOf(profile) + 1}]`;
}

function application(value: Json): Application {
  return {
    name: text(value, "name"),
    value: value as JsonObject,
    profiles: list(value, "outputProfiles", "outputProfile").map((each) => text(each, "name")),
    providers: protocols(value, "providers"),
    publishers: protocols(value, "publishers"),
  };
}

function protocols(value: Json, key: string): string[] {
  const found = get(value, [key]);
  const names = found && typeof found === "object" ? Object.keys(found) : [];
  return names.filter((name) => !BESIDE.includes(name)).sort();
}

/** An array, whether it stands in the place of its wrapper or in it. */
function list(value: Json, wrapper: string, inner: string): Json[] {
  const found = get(value, [wrapper]);
  const items = Array.isArray(found) ? found : get(found, [inner]);
  return Array.isArray(items) ? items : [];
}

function text(value: Json, key: string): string {
  const found = get(value, [key]);
  return found === undefined || found === null ? "" : String(found);
}

const escaped = (name: string) => name.replace(/[\\"]/g, "\\$&");
