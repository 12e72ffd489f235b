// An element as a form, generated from the model: groups that open, values, and lists of either.
import { createContext } from "preact";
import { useContext, useState } from "preact/hooks";
import { get, isEqual, type Keys, remove, set } from "./draft";
import { Field, Marks } from "./field";
import { Badge } from "./parts";
import { APPLICATION, type Element, type Model } from "./schema";
import type { Json } from "./types";

export interface FormGiven {
  model: Model;
  root: Element;
  /** The path of the root with places, as violations have it. */
  path: string;
  draft: Json;
  base: Json;
  isReadOnly: boolean;
  /** Shows only what has this in its name or documentation; "" shows what is set. */
  filter: string;
  /** Shows also what is not set. */
  isWhole: boolean;
  /** What is wrong, by path. */
  faults: Map<string, string>;
  /** The groups that are open at first, by path. */
  open: Set<string>;
  onChange: (draft: Json) => void;
}

const Context = createContext<FormGiven>(null!);

/** One place of the form: an element, where its value is, and its path with places. */
interface Spot {
  element: Element;
  keys: Keys;
  path: string;
}

export function Form(given: FormGiven) {
  return (
    <Context.Provider value={given}>
      <div class="form"><Members element={given.root} keys={[]} path={given.path} /></div>
    </Context.Provider>
  );
}

/** Everything inside an element: first its values, then its groups. */
function Members({ element, keys, path }: Spot) {
  const { model, draft, base, isWhole, filter } = useContext(Context);
  const [isMore, setMore] = useState(false);
  const all = model.children(element).map((child): Spot => ({
    element: child, keys: [...keys, child.json], path: `${path}/${child.name}`,
  }));
  const isThere = (spot: Spot) =>
    get(draft, spot.keys) !== undefined || get(base, spot.keys) !== undefined || spot.element.enforced;
  const matching = filter ? all.filter((spot) => matches(model, spot.element, filter)) : all;
  const shown = isWhole || isMore || filter ? matching : matching.filter(isThere);
  const isValue = (spot: Spot) => spot.element.kind !== "object" && !spot.element.list;
  const rest = matching.length - shown.length;
  return (
    <div class="members">
      {shown.filter(isValue).map((spot) => <ValueAt key={spot.element.name} {...spot} />)}
      {shown.filter((spot) => !isValue(spot)).map((spot) =>
        spot.element.list
          ? <List key={spot.element.name} {...spot} />
          : <Group key={spot.element.name} {...spot} />)}
      {rest > 0 && (
        <button type="button" class="plain more" onClick={() => setMore(true)}>
          + {rest} more in {element.name}
        </button>
      )}
    </div>
  );
}

function ValueAt({ element, keys, path, label }: Spot & { label?: string }) {
  const given = useContext(Context);
  return (
    <Field element={element} id={`f-${keys.join("-")}`} label={label}
      value={get(given.draft, keys)} base={get(given.base, keys)}
      isReadOnly={given.isReadOnly} fault={given.faults.get(path)}
      onChange={(value) => given.onChange(
        value === undefined ? remove(given.draft, keys) : set(given.draft, keys, value),
      )} />
  );
}

/** An element with elements: it can be there without any of them, and that means something. */
function Group({ element, keys, path }: Spot) {
  const { model, draft, base, isReadOnly, onChange, filter, open, faults } = useContext(Context);
  const value = get(draft, keys);
  const isThere = value !== undefined;
  const [isToggled, setOpen] = useState<boolean | null>(null);
  const isOpen = isToggled ?? (filter !== "" || isIn(open, path));
  const flat = model.flatChild(element);
  const hasFault = [...faults.keys()].some((each) => each.startsWith(`${path}/`) || each === path);
  const id = `g-${keys.join("-")}`;
  return (
    <section class={`group ${isThere ? "" : "unset"} ${isEqual(value, get(base, keys)) ? "" : "changed"}`}
      aria-labelledby={id}>
      <header>
        <button type="button" class="plain toggle" id={id} aria-expanded={isOpen} data-path={element.path}
          onClick={() => setOpen(!isOpen)}>{element.name}</button>
        <Summary value={value} />
        <Marks element={element} />
        {hasFault && <Badge tone="error">has errors</Badge>}
        {!isReadOnly && !element.enforced && (
          <button type="button" class="plain small" aria-label={`${isThere ? "Remove" : "Add"} ${element.name}`}
            onClick={() => {
              onChange(isThere ? remove(draft, keys) : set(draft, keys, get(base, keys) ?? {}));
              if (!isThere) setOpen(true);
            }}>{isThere ? "Remove" : "Add"}</button>
        )}
      </header>
      {isOpen && (
        <div class="inside">
          {element.documentation && <p class="doc">{element.documentation}</p>}
          {flat ? <Items element={flat} keys={keys} path={path} />
            : <Members element={element} keys={keys} path={path} />}
        </div>
      )}
    </section>
  );
}

/** A list beside other elements. */
function List({ element, keys, path }: Spot) {
  const around = path.slice(0, path.lastIndexOf("/"));
  return (
    <section class="list" aria-label={element.name}>
      <header><h4>{element.name}</h4><Marks element={element} /></header>
      <Items element={element} keys={keys} path={around} />
    </section>
  );
}

/** The items of a list, and one more. */
function Items({ element, keys, path }: Spot) {
  const { draft, isReadOnly, onChange } = useContext(Context);
  const value = get(draft, keys);
  const items = Array.isArray(value) ? value : [];
  return (
    <div class="items">
      {items.map((item, at) => (
        <Item key={at} element={element} keys={[...keys, at]} item={item}
          path={`${path}/${element.name}[${at + 1}]`} place={at + 1} />
      ))}
      {!isReadOnly && (
        <button type="button" class="small add" data-path={element.path}
          onClick={() => onChange(set(draft, [...keys, items.length], element.kind === "object" ? {} : ""))}>
          Add {element.name}
        </button>
      )}
    </div>
  );
}

function Item({ element, keys, path, item, place }: Spot & { item: Json; place: number }) {
  const { draft, base, isReadOnly, onChange, open, filter } = useContext(Context);
  const [isToggled, setOpen] = useState<boolean | null>(null);
  if (element.kind !== "object") {
    return <ValueAt element={element} keys={keys} path={path} label={`${element.name} ${place}`} />;
  }
  const isNew = get(base, keys) === undefined;
  const isOpen = isToggled ?? (isNew || filter !== "" || isIn(open, path));
  const title = nameOf(item) || `${element.name} ${place}`;
  const id = `i-${keys.join("-")}`;
  return (
    <section class={`group item ${isEqual(item, get(base, keys)) ? "" : "changed"}`} aria-labelledby={id}>
      <header>
        <button type="button" class="plain toggle" id={id} aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}>{title}</button>
        <Summary value={item} />
        {!isReadOnly && (
          <button type="button" class="plain small" aria-label={`Remove ${title}`}
            onClick={() => onChange(remove(draft, keys))}>Remove</button>
        )}
      </header>
      {isOpen && (
        <div class="inside">
          {element.documentation && <p class="doc">{element.documentation}</p>}
          <Members element={element} keys={keys} path={path} />
        </div>
      )}
    </section>
  );
}

/** What a closed group holds, in a few words. */
function Summary({ value }: { value: Json | undefined }) {
  if (value === undefined) return <span class="summary quiet">not set</span>;
  if (value === null || typeof value !== "object") return null;
  if (Array.isArray(value)) return <span class="summary">{value.map(itemText).join(", ")}</span>;
  return <span class="summary">{Object.entries(value).map(entryText).join(" · ")}</span>;
}

const itemText = (item: Json): string => (typeof item === "object" ? nameOf(item) || "…" : String(item));

function entryText([key, value]: [string, Json]): string {
  if (Array.isArray(value)) return `${key} ${value.length}`;
  return typeof value === "object" ? key : `${key} ${value}`;
}

function nameOf(item: Json): string {
  const name = get(item, ["name"]) ?? get(item, ["id"]);
  return typeof name === "string" ? name : "";
}

function isIn(open: Set<string>, path: string): boolean {
  return [...open].some((each) => each === path || each.startsWith(`${path}/`));
}

/** Whether an element, one around it or one inside it has the words in its name or documentation. */
function matches(model: Model, element: Element, filter: string): boolean {
  const wanted = filter.toLowerCase();
  const names = element.path.slice(APPLICATION.length).toLowerCase();
  if (names.includes(wanted) || element.documentation.toLowerCase().includes(wanted)) return true;
  return model.children(element).some((child) => matches(model, child, filter));
}
