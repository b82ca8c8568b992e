// What is new, as the server sends it: kept in rings, and shown at most once in an animation frame.
//
// An event's id is the position in the audit stream behind its facts, so a connection that was cut,
// or a server that was started again, goes on where this page was. A fact that came before is known
// by its offset and not taken twice.

import { ask, BASE } from "./api.js";
import { batch, signal } from "./dom.js";
import { address } from "./place.js";

export const MAX_FACTS = 10_000; // kept here; older ones are asked for
const MAX_ROWS = 2_000;
const AGAIN_MS = 2_000;
const KINDS = ["registry", "halts", "incidents", "dead-letters", "state"];

export const link = signal("connecting"); // connecting, loading, live, broken
export const lag = signal(0);
export const now = signal(null);
export const problem = signal(null);
export const me = signal(null);
export const pulse = signal(0); // moves when there are new facts
export const resets = signal(0); // moves when everything is to be asked for again
export const changed = Object.fromEntries(KINDS.map((name) => [name, signal(0)]));
export const stats = { facts: 0, doubles: 0, connects: 0, resets: 0, events: 0 };

const ring = new Array(MAX_FACTS);
const rows = new Map();
const due = new Map(); // by partition: the offset that is next
let taken = 0;
let last = "";
let source = null;
let drawn = false;
let waiting = { now: null, changed: new Set(), facts: false };

// The number that the next fact gets; facts are numbered as they came.
export const position = () => taken;
export const row = (workflow) => rows.get(workflow);

// Facts with this number or a later one, the oldest first, as far as they are kept.
export function* since(number) {
  for (let next = Math.max(number, taken - MAX_FACTS, 0); next < taken; next++) yield ring[next % MAX_FACTS];
}

export async function begin() {
  ask("/me").then((own) => { me.value = own; }, () => {});
  try {
    const own = await ask("/now");
    now.value = own;
    problem.value = null;
    last = own.position;
    connect();
  } catch (error) {
    problem.value = error;
    link.value = "broken";
    setTimeout(begin, AGAIN_MS);
  }
}

function connect() {
  source?.close();
  source = new EventSource(address(`${BASE}/events`, { after: last }));
  source.onopen = () => {
    stats.connects += 1;
    link.value = "live";
  };
  source.onerror = () => {
    link.value = "broken";
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS); // refused: not tried again by itself
  };
  on("hello", () => { link.value = "live"; });
  on("loading", (data) => batch(() => { link.value = "loading"; lag.value = data.lag; }));
  on("facts", takeFacts);
  on("now", (data) => { waiting.now = data; });
  on("changed", (data) => { for (const name of data.what) waiting.changed.add(name); });
  on("reset", () => {
    stats.resets += 1;
    rows.clear();
    due.clear();
    waiting.facts = true;
    resets.value += 1;
    ask("/now").then((own) => { now.value = own; }, () => {});
  });
}

function on(name, take) {
  source.addEventListener(name, (event) => {
    if (event.lastEventId) last = event.lastEventId;
    stats.events += 1;
    if (name !== "loading" && link.value !== "live") link.value = "live";
    take(JSON.parse(event.data));
    if (!drawn) {
      drawn = true;
      requestAnimationFrame(draw);
    }
  });
}

function takeFacts(data) {
  for (const fact of data.facts) {
    const [partition, offset] = fact.where.split("/").map(Number);
    if (offset < (due.get(partition) ?? 0)) {
      stats.doubles += 1;
      continue;
    }
    due.set(partition, offset + 1);
    ring[taken % MAX_FACTS] = fact;
    taken += 1;
    stats.facts += 1;
  }
  for (const own of data.workflows) {
    rows.delete(own.workflow);
    rows.set(own.workflow, own);
  }
  while (rows.size > MAX_ROWS) rows.delete(rows.keys().next().value);
  waiting.facts = true;
}

function draw() {
  drawn = false;
  const news = waiting;
  waiting = { now: null, changed: new Set(), facts: false };
  batch(() => {
    if (news.now) now.value = news.now;
    if (news.facts) pulse.value += 1;
    for (const name of news.changed) if (changed[name]) changed[name].value += 1;
  });
}
