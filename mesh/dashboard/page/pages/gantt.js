// The tasks of a workflow along time. Where nobody worked for long, time is folded, and it says so.

import { Panel, Say } from "../bits.js";
import { html, useMemo } from "../dom.js";
import { ms, span } from "../format.js";

const FOLD = 0.04; // the share of the width that a folded stretch takes
const LONG = 0.15; // a stretch without work is folded from this share of the work on
const LEAST_MS = 1000;

// The stretches in which somebody worked, joined where they meet.
function busy(tasks, now) {
  const spans = tasks.flatMap(({ task }) => task.awards.map((own) => [ms(own.at), own.ended ? ms(own.ended) : now])).sort((a, b) => a[0] - b[0]);
  const found = [];
  for (const [from, to] of spans) {
    const last = found[found.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

// Return what turns a time into a share of the width, and the folded stretches.
export function scale(stretches, began, end) {
  const works = stretches.reduce((all, [from, to]) => all + to - from, 0);
  const least = Math.max(LEAST_MS, works * LONG);
  const folds = [];
  let at = began;
  for (const [from, to] of [...stretches, [end, end]]) {
    if (from - at > least) folds.push([at, from]);
    at = Math.max(at, to);
  }
  const share = Math.min(FOLD, 0.4 / Math.max(1, folds.length));
  const folded = folds.reduce((all, [from, to]) => all + to - from, 0);
  const per = (1 - share * folds.length) / Math.max(1, end - began - folded);
  const place = (time) => {
    let left = 0, last = began;
    for (const [from, to] of folds) {
      if (time <= from) break;
      left += (from - last) * per;
      if (time < to) return left + share * ((time - from) / (to - from));
      left += share;
      last = to;
    }
    return Math.max(0, Math.min(1, left + (time - last) * per));
  };
  return { place, folds };
}

const BAD = new Set(["failed", "rejected", "died", "expired", "cancelled", "declined"]);
const tone = (own) => (!own.ended ? "running" : own.ending === "suspended" ? "suspended" : BAD.has(own.ending) ? "bad" : "");

export function Gantt({ tasks, now }) {
  const began = Math.min(...tasks.map((own) => ms(own.task.began)));
  const end = Math.max(began + 1, ...tasks.map((own) => (own.task.ended ? ms(own.task.ended) : now)), ...tasks.flatMap((own) => own.task.awards.map((award) => (award.ended ? ms(award.ended) : 0))));
  const { place, folds } = useMemo(() => scale(busy(tasks, now), began, end), [tasks, now]);
  const ticks = [0, 0.25, 0.5, 0.75].map((own) => began + own * (end - began)).filter((time) => !folds.some(([from, to]) => time > from && time < to));
  const at = (from, to) => ({ left: `${place(from) * 100}%`, width: `${Math.max(0, place(to) - place(from)) * 100}%` });
  const legend = html`<span class="legend aside"><span class="key good"></span>work <span class="key hatched"></span>ended badly</span>`;
  return html`<${Panel} title="Along time" aside=${legend}>
    <div class="gantt-axis" aria-hidden="true"><div></div><div>${folds.length ? html`<span>0</span>` : ticks.map((own) => html`<span key=${own} style=${{ left: `${place(own) * 100}%` }}>${own === began ? "0" : `+${span(own - began)}`}</span>`)}${folds.map(([from, to]) => html`<span key=${from} class="gap-label" style=${{ left: `${((place(from) + place(to)) / 2) * 100}%` }}>⋯ ${span(to - from)} idle</span>`)}</div></div>
    <ol class="gantt">${tasks.map(({ task, depth }) => html`<li key=${task.task} class="gantt-row">
      <div class="gantt-label" style=${{ paddingLeft: `${Math.min(depth, 8) * 12}px` }}><${Say} text=${task.capability} most=${60} /> <span class="faint"><${Say} text=${task.agent} most=${60} /></span>
        <span class="unseen">from ${span(ms(task.began) - began)} after the beginning, ${task.ended ? `for ${span(ms(task.ended) - ms(task.began))}` : "still open"}, ${task.status}; ${task.awards.map((own) => `award ${own.epoch} ${own.ending || "running"}`).join(", ")}</span></div>
      <div class="track" aria-hidden="true">${folds.map(([from, to]) => html`<span key=${from} class="gap" style=${at(from, to)}></span>`)}
        <span class="task-bar" style=${at(ms(task.began), task.ended ? ms(task.ended) : now)}></span>
        ${task.awards.map((own) => html`<span key=${own.epoch} class=${`award-bar ${tone(own)}`} style=${at(ms(own.at), own.ended ? ms(own.ended) : now)} title=${`${task.capability}, award ${own.epoch} to ${own.agent}: ${own.ending || "running"}, ${span((own.ended ? ms(own.ended) : now) - ms(own.at))}`}></span>`)}</div></li>`)}</ol>
    ${folds.length > 0 && html`<p class="foot">Stretches in which nobody worked are folded: ${folds.map(([from, to]) => span(to - from)).join(", ")}.</p>`}
  <//>`;
}
