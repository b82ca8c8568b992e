// The small parts that every page is made of.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./dom.js";
import { clock, count, money, plain, plural, sum } from "./format.js";
import { go, greet, narrow, place, record } from "./place.js";

// --- texts

export const Say = ({ text, most = 400, class: name = "" }) =>
  html`<bdi class=${name} title=${text.length > most ? plain(text, 2000) : undefined}>${plain(text, most)}</bdi>`;
export const Time = ({ at, exact }) => (at ? html`<time dateTime=${at} title=${at}>${clock(at, exact)}</time>` : html`<span class="faint">–</span>`);
export const Where = ({ at, label = "record" }) => html`<a class="where" href=${record(at)} aria-label=${`${label} ${at}`}>${at}</a>`;
export const Money = ({ micro, round }) => html`<span class="figure">${round ? sum(micro) : money(micro)}</span>`;

// --- status: a shape, a word and a colour

const SHAPES = {
  completed: ["good", "M3.5 8.5l3 3 6-7"],
  failed: ["bad", "M4 4l8 8M12 4l-8 8"],
  rejected: ["bad", "M8 2.5v7M8 12.4v1.1"],
  expired: ["bad", "M4 2.5h8M4 13.5h8M5 2.5c0 6 6 5 6 11M11 2.5c0 6-6 5-6 11"],
  cancelled: ["quiet", "M3 13 13 3M8 2a6 6 0 1 0 .01 0"],
  working: ["busy", "M5 3l8 5-8 5z"],
  open: ["busy", "M8 3a5 5 0 1 0 .01 0"],
  suspended: ["warn", "M5.5 3v10M10.5 3v10"],
  review: ["warn", "M2 8c3-5.5 9-5.5 12 0-3 5.5-9 5.5-12 0zM8 6.5a1.5 1.5 0 1 0 .01 0"],
  halted: ["warn", "M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM5.5 8h5"],
  active: ["good", "M3.5 8.5l3 3 6-7"],
  retired: ["quiet", "M3 8h10"],
  unknown: ["quiet", "M5.5 6a2.5 2.5 0 1 1 3.5 2.3c-.8.4-1 .8-1 1.7M8 12.6v.9"],
};

export const Icon = ({ path, class: name = "" }) =>
  html`<svg class=${`icon ${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${path} /></svg>`;

export function Status({ of, bare = false }) {
  const [tone, path] = SHAPES[of] ?? SHAPES.unknown;
  return html`<span class=${`status ${tone}`}><${Icon} path=${path} />${bare ? html`<span class="unseen">${of}</span>` : of}</span>`;
}

// --- what is there instead of data

export const Problem = ({ problem }) =>
  problem && html`<p class="note bad" role="alert"><strong>${problem.status === 404 ? "Not there." : problem.status === 403 ? "Not permitted." : "That did not work."}</strong> <${Say} text=${problem.message} /></p>`;

export const Loading = () => html`<p class="loading" role="status">Loading…</p>`;
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

// What was asked for, once it is there.
export function Asked({ of, children }) {
  const { data, problem } = of;
  if (!data) return problem ? html`<${Problem} problem=${problem} />` : html`<${Loading} />`;
  return html`${problem && html`<${Problem} problem=${problem} />`}${children(data)}`;
}

export function Heading({ children, aside }) {
  const own = useRef(null);
  useEffect(() => greet(own.current), []);
  return html`<header class="heading"><h1 tabindex="-1" ref=${own}>${children}</h1>${aside}</header>`;
}

export const Panel = ({ title, aside, class: name = "", children }) => {
  const id = `p-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return html`<section class=${`panel ${name}`} aria-labelledby=${id}><header><h2 id=${id}>${title}</h2>${aside}</header>${children}</section>`;
};

export const Figure = ({ label, value, note, tone = "" }) =>
  html`<div class=${`stat ${tone} ${typeof value === "string" && /[a-z]/.test(value) ? "word" : ""}`}><dt>${label}</dt><dd><span class="number">${value}</span>${note && html`<span class="stat-note">${note}</span>`}</dd></div>`;

// How much of something is gone; the figure stands beside it.
export function Meter({ share, label, tone }) {
  const level = tone ?? (share >= 0.9 ? "bad" : share >= 0.7 ? "warn" : "busy");
  return html`<span class=${`meter ${level}`} role="img" aria-label=${`${label}: ${Math.round(share * 100)} %`}><span style=${{ width: `${Math.min(100, share * 100)}%` }}></span></span>`;
}

// --- filters: they live in the address

const TYPING_MS = 250;

export function Search({ name, label, wide }) {
  const value = place.value.params[name] ?? "";
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  const typed = (event) => {
    const next = event.target.value;
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => narrow({ [name]: next }), TYPING_MS);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<label class=${wide ? "field wide" : "field"}><span>${label}</span><input type="search" value=${text} onInput=${typed} maxlength="300" spellcheck=${false} autocomplete="off" /></label>`;
}

export function Select({ name, label, options, fallback = "" }) {
  const value = place.value.params[name] ?? fallback;
  const set = (event) => narrow({ [name]: event.target.value === fallback ? "" : event.target.value });
  return html`<label class="field"><span>${label}</span><select value=${value} onChange=${set}>
    ${options.map(([own, text]) => html`<option key=${own} value=${own} selected=${own === value}>${text}</option>`)}</select></label>`;
}

export function Check({ name, label }) {
  const on = place.value.params[name] === "true";
  return html`<label class="check"><input type="checkbox" checked=${on} onChange=${() => narrow({ [name]: on ? "" : "true" })} /><span>${label}</span></label>`;
}

export function Views({ name, options, label }) {
  const value = place.value.params[name] ?? options[0][0];
  return html`<div class="views" role="group" aria-label=${label}>
    ${options.map(([own, text]) => html`<button key=${own} type="button" aria-pressed=${own === value} onClick=${() => narrow({ [name]: own === options[0][0] ? "" : own })}>${text}</button>`)}</div>`;
}

// --- tables

export const Table = ({ label, heads, children }) =>
  html`<div class="scroller" tabindex="0" role="group" aria-label=${label}><table><thead><tr>${heads.map((own) => (Array.isArray(own) ? html`<th scope="col" class=${own[1]}>${own[0]}</th>` : html`<th scope="col">${own}</th>`))}</tr></thead><tbody>${children}</tbody></table></div>`;

// A long list: the rows in sight are in the document, the others are not.
//
// columns: [{name, class, cell(item)}]; get(index) returns an item or undefined; need(first, last)
// is told what comes into sight; to(item) is where a row leads.
const BEYOND = 6;

export function Rows({ label, columns, total, get, need, to, height = 44, of = "", onTop }) {
  const box = useRef(null);
  const [sight, setSight] = useState({ top: 0, tall: 600 });
  const [active, setActive] = useState(0);
  const wanted = useRef(-1); // the row to focus once it is there: an effect of an earlier drawing may come first
  useLayoutEffect(() => {
    const own = box.current;
    const look = () => {
      setSight((old) => (old.top === own.scrollTop && old.tall === own.clientHeight ? old : { top: own.scrollTop, tall: own.clientHeight }));
      onTop?.(own.scrollTop < height);
    };
    let asked = 0;
    const scrolled = () => { asked ||= requestAnimationFrame(() => { asked = 0; look(); }); };
    const sizes = new ResizeObserver(look);
    own.addEventListener("scroll", scrolled, { passive: true });
    sizes.observe(own);
    look();
    return () => { own.removeEventListener("scroll", scrolled); sizes.disconnect(); cancelAnimationFrame(asked); };
  }, []);
  useEffect(() => { box.current.scrollTop = 0; setActive(0); }, [of]);
  const first = Math.max(0, Math.floor(sight.top / height) - BEYOND);
  const last = Math.min(total, Math.ceil((sight.top + sight.tall) / height) + BEYOND);
  useEffect(() => { if (last > first) need?.(first, last); }, [first, last, of]);
  useEffect(() => {
    const row = wanted.current < 0 ? null : box.current.querySelector(`[data-index="${wanted.current}"]`);
    if (!row) return;
    wanted.current = -1;
    row.focus({ preventScroll: true });
  });
  const move = (next) => {
    const own = box.current;
    const index = Math.max(0, Math.min(total - 1, next));
    const head = own.querySelector("[role=rowgroup]").offsetHeight;
    if (index * height < own.scrollTop) own.scrollTop = index * height;
    else if ((index + 1) * height > own.scrollTop + own.clientHeight - head) own.scrollTop = (index + 1) * height - own.clientHeight + head;
    wanted.current = index;
    setActive(index);
    setSight({ top: own.scrollTop, tall: own.clientHeight });
  };
  const pressed = (event) => {
    const page = Math.max(1, Math.floor(sight.tall / height) - 2);
    const steps = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: total - 1 };
    if (event.target.closest("a") && event.key === "Enter") return;
    if (event.key in steps) {
      event.preventDefault();
      move(steps[event.key]);
    } else if (event.key === "Enter") {
      const item = get(active);
      if (item && to) go(to(item));
    }
  };
  const shown = [];
  for (let index = first; index < last; index++) shown.push(index);
  const cells = (item) => columns.map((own) => html`<div role="cell" class=${own.class ?? ""} key=${own.name}>${item === undefined ? "" : own.cell(item)}</div>`);
  return html`<div class="rows" ref=${box} role="table" aria-label=${label} aria-rowcount=${total + 1} tabindex="0" onKeyDown=${pressed}>
    <div role="rowgroup" class="rows-head"><div role="row" aria-rowindex="1">${columns.map((own) => html`<div role="columnheader" class=${own.class ?? ""} key=${own.name}>${own.title ?? own.name}</div>`)}</div></div>
    <div role="rowgroup" class="rows-body" style=${{ height: `${total * height}px` }}>
      ${shown.map((index) => {
        const item = get(index);
        return html`<div role="row" key=${index} aria-rowindex=${index + 2} data-index=${index} tabindex=${index === active ? "0" : "-1"} class=${item === undefined ? "row pending" : "row"}
          style=${{ transform: `translateY(${index * height}px)`, height: `${height}px` }}
          onClick=${(event) => { setActive(index); if (to && item && !event.target.closest("a") && !String(getSelection())) go(to(item)); }}>${cells(item)}</div>`;
      })}
    </div></div>`;
}

export const Total = ({ total, one, many }) => html`<span class="total" role="status">${total === null ? "" : plural(total, one, many)}</span>`;
export const number = count;
