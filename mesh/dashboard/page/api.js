// Asks the dashboard's API, and keeps what is shown fresh.

import { useEffect, useRef, useState } from "./dom.js";
import { address } from "./place.js";

export const BASE = "/api/v1";
const FRESH_MS = 1500; // between two looks at the same thing, however much is new
const AGAIN_MS = 3000; // after a refusal that may pass

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function ask(path, params = {}, signal = undefined) {
  let answer;
  try {
    answer = await fetch(address(`${BASE}${path}`, params), { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The dashboard cannot be reached.");
  }
  if (answer.status === 401) location.assign("/login");
  const shape = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok) throw new Refused(answer.status, shape.detail);
  return shape;
}

// Order something; the header says that no other site's form did.
export async function act(path, body) {
  const headers = { "Content-Type": "application/json", "X-Parley-Act": "page" };
  const answer = await fetch(`${BASE}${path}`, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null);
  if (answer === null) throw new Refused(0, "The dashboard cannot be reached: whether it was ordered is not known.");
  const shape = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok) throw new Refused(answer.status, shape.detail);
  return shape;
}

// What a path answers; asked again when `news` (signals) move, at most every `fresh` ms.
export function useAsked(path, params = {}, news = [], fresh = FRESH_MS) {
  const [state, setState] = useState({ data: null, problem: null, of: "" });
  const key = path && address(path, params);
  const moved = news.map((own) => own.value).join();
  const memory = useRef({ asked: 0, busy: false, again: 0, fresh });
  const run = useRef(null);
  run.current = () => {
    const own = memory.current;
    if (!key || own.busy) {
      own.due = true;
      return;
    }
    clearTimeout(own.again);
    const control = new AbortController();
    Object.assign(own, { busy: true, due: false, asked: performance.now(), control });
    const end = (next, after) => {
      if (control.signal.aborted) return;
      own.busy = false;
      setState(next);
      if (own.due || after) own.again = setTimeout(() => run.current(), after || wait(own));
    };
    ask(path, params, control.signal).then(
      (data) => end({ data, problem: null, of: key }, 0),
      (problem) => end((old) => ({ data: old.of === key ? old.data : null, problem, of: key }), passing(problem) ? AGAIN_MS : 0),
    );
  };
  useEffect(() => {
    const own = memory.current;
    own.busy = false;
    run.current();
    return () => {
      own.control?.abort();
      clearTimeout(own.again);
    };
  }, [key]);
  useEffect(() => {
    const own = memory.current;
    if (own.moved !== undefined && own.moved !== moved) {
      if (own.busy) own.due = true;
      else {
        clearTimeout(own.again);
        own.again = setTimeout(() => run.current(), wait(own));
      }
    }
    own.moved = moved;
  }, [moved]);
  const { data, problem, of } = state;
  return { data: of === key ? data : null, problem: of === key ? problem : null };
}

const passing = (problem) => problem.status === 0 || problem.status === 503;
const wait = (own) => Math.max(50, own.asked + (own.fresh ?? FRESH_MS) - performance.now());

// A long list, of which the parts in sight are asked for, and few others are kept.
export const CHUNK = 100;
const MAX_CHUNKS = 20;

export function useChunks(path, params, news = []) {
  const key = address(path, params);
  const store = useRef(null);
  const [, redraw] = useState(0);
  if (store.current === null || store.current.key !== key) {
    store.current?.control.abort();
    store.current = { key, chunks: new Map(), asking: new Set(), stale: new Set(), total: null, extra: null, problem: null, control: new AbortController(), asked: 0 };
  }
  const own = store.current;
  const fetchChunk = (number) => {
    if (own.asking.has(number)) return;
    own.asking.add(number);
    own.asked = performance.now();
    ask(path, { ...params, offset: number * CHUNK, limit: CHUNK }, own.control.signal).then(
      (data) => {
        own.asking.delete(number);
        own.stale.delete(number);
        own.chunks.delete(number);
        own.chunks.set(number, data.items);
        while (own.chunks.size > MAX_CHUNKS) own.chunks.delete(own.chunks.keys().next().value);
        Object.assign(own, { total: data.total, extra: data, problem: null });
        redraw((old) => old + 1);
      },
      (problem) => {
        if (problem.name === "AbortError") return;
        own.problem = problem;
        redraw((old) => old + 1);
        if (passing(problem)) setTimeout(() => { own.asking.delete(number); fetchChunk(number); }, AGAIN_MS);
        else own.asking.delete(number);
      },
    );
  };
  own.need = (first, last) => {
    own.seen = [first, last];
    for (let number = Math.floor(first / CHUNK); number <= Math.floor(Math.max(first, last - 1) / CHUNK); number++)
      if (!own.chunks.has(number) || own.stale.has(number)) fetchChunk(number);
  };
  own.get = (index) => own.chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK];
  const moved = news.map((one) => one.value).join();
  useEffect(() => {
    if (own.total === null) {
      own.need(0, 1);
      return undefined;
    }
    const timer = setTimeout(() => {
      for (const number of own.chunks.keys()) own.stale.add(number);
      own.need(...(own.seen ?? [0, 1]));
    }, wait(own));
    return () => clearTimeout(timer);
  }, [moved, key]);
  useEffect(() => () => store.current.control.abort(), []);
  return own;
}
