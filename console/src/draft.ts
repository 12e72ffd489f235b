// A configuration as somebody changes it: values are never changed in place, so that what was
// loaded stays what it was, and the difference is a merge patch (RFC 7396).
import type { Json, JsonObject } from "./types";

export type Keys = (string | number)[];

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export function get(value: Json | undefined, keys: Keys): Json | undefined {
  let found = value;
  for (const key of keys) {
    if (Array.isArray(found)) found = found[key as number];
    else if (isObject(found)) found = found[key];
    else return undefined;
  }
  return found;
}

/** The same with another value there; objects and arrays on the way are made. */
export function set(value: Json | undefined, keys: Keys, now: Json): Json {
  const [key, ...rest] = keys;
  if (key === undefined) return now;
  if (typeof key === "number") {
    const list = Array.isArray(value) ? [...value] : [];
    list[key] = set(list[key], rest, now);
    return list;
  }
  const object = isObject(value) ? value : {};
  return { ...object, [key]: set(object[key], rest, now) };
}

/** The same without what is there. */
export function remove(value: Json, keys: Keys): Json {
  const around = keys.slice(0, -1);
  const key = keys[keys.length - 1]!;
  const there = get(value, around);
  if (Array.isArray(there)) return set(value, around, there.filter((_, at) => at !== key));
  if (!isObject(there) || !(key in there)) return value;
  const { [key]: _, ...kept } = there;
  return set(value, around, kept);
}

export function isEqual(one: Json | undefined, other: Json | undefined): boolean {
  if (one === other) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((each, at) => isEqual(each, other[at]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => key in other && isEqual(one[key], other[key]))
  );
}

/** The merge patch that makes the old value the new one; undefined if they are equal. */
export function patch(old: Json | undefined, now: Json): Json | undefined {
  if (isEqual(old, now)) return undefined;
  if (!isObject(old) || !isObject(now)) return now;
  const found: JsonObject = {};
  for (const key of Object.keys(old)) if (!(key in now)) found[key] = null;
  for (const key of Object.keys(now)) {
    const inner = patch(old[key], now[key]!);
    if (inner !== undefined) found[key] = inner;
  }
  return found;
}

export interface Difference {
  keys: Keys;
  old: Json | undefined;
  now: Json | undefined;
}

/** Every value that differs, by its keys. */
export function differences(old: Json | undefined, now: Json | undefined, keys: Keys = []): Difference[] {
  if (isEqual(old, now)) return [];
  const isBoth = (check: (value: Json | undefined) => boolean) => check(old) && check(now);
  if (isBoth(isObject)) {
    const all = new Set([...Object.keys(old as JsonObject), ...Object.keys(now as JsonObject)]);
    return [...all].flatMap((key) =>
      differences((old as JsonObject)[key], (now as JsonObject)[key], [...keys, key]),
    );
  }
  if (isBoth(Array.isArray) && (old as Json[]).length === (now as Json[]).length) {
    return (old as Json[]).flatMap((each, at) => differences(each, (now as Json[])[at], [...keys, at]));
  }
  return [{ keys, old, now }];
}

/** My changes of a value, made on what somebody else made of it; where both changed, mine win. */
export function onTop(
  base: Json | undefined, mine: Json | undefined, theirs: Json | undefined,
): Json | undefined {
  if (isEqual(base, mine)) return theirs;
  if (isEqual(base, theirs)) return mine;
  if (isObject(base) && isObject(mine) && isObject(theirs)) return onTopOf(base, mine, theirs);
  const lists = [base, mine, theirs].map(byName);
  if (!lists.every((each) => each !== null)) return mine;
  return Object.values(onTopOf(...(lists as [JsonObject, JsonObject, JsonObject])));
}

function onTopOf(base: JsonObject, mine: JsonObject, theirs: JsonObject): JsonObject {
  const found: JsonObject = {};
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const value = onTop(base[key], mine[key], theirs[key]);
    if (value !== undefined) found[key] = value;
  }
  return found;
}

/** A list whose items have names of their own, as an object by these; null for any other. */
function byName(value: Json | undefined): JsonObject | null {
  if (!Array.isArray(value)) return null;
  const names = value.map((each) => get(each, ["name"]));
  const isNamed = names.every((name) => typeof name === "string" && name !== "");
  if (!isNamed || new Set(names).size < names.length) return null;
  return Object.fromEntries(value.map((each, at) => [` ${names[at]}`, each]));
}
