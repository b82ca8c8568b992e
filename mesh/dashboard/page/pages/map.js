// Agents by owner, and who delegated to whom: from recorded parents, never from timing.
//
// Owners are lanes; from left to right is how many hands away from outside. Places depend on the
// names and the delegations alone, so nothing jumps when figures change.

import { Asked, Empty, Heading, Panel, Say, Status, Table, Views, Select } from "../bits.js";
import { useAsked } from "../api.js";
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { count, money, plain, plural, sum } from "../format.js";
import { changed, pulse, resets } from "../live.js";
import { agent as toAgent, address, narrow, place } from "../place.js";

const OUTSIDE = "";
const MANY = 60; // with more nodes they are drawn small
const WINDOWS = [["60", "last hour"], ["15", "last 15 minutes"], ["5", "last 5 minutes"], ["1", "last minute"]];
const LARGE = { width: 194, height: 38, gap: 14, rows: 5, column: 96 };
const SMALL = { width: 108, height: 22, gap: 7, rows: 6, column: 60 };
const REFRESH_MS = 3000;
const MAX_MOVING = 6; // lines on which something moves at a time: each is drawn in every frame
const HEAD = 22; // of a lane, for its owner's name
const SHOW_COUNTS = 26; // lines; with more their figures are in the list
const MAX_LINES = 160; // the busiest; those of the agent that one looks at are drawn besides

export function Map() {
  const { params } = place.value;
  const minutes = params.minutes ?? "60";
  const asked = useAsked("/map", { minutes }, [pulse, resets, changed.registry, changed.halts], REFRESH_MS);
  // The same element again is not drawn again: there may be a hundred lines, and news five times a second.
  const shown = useMemo(() => asked.data && html`<${Shown} data=${asked.data} list=${params.view === "list"} chosen=${params.agent} />`, [asked.data, params.view, params.agent]);
  return html`<${Heading} aside=${html`<div class="filters"><${Views} name="view" label="Shown as" options=${[["map", "Map"], ["list", "List"]]} /><${Select} name="minutes" label="Window" options=${WINDOWS} fallback="60" /></div>`}>Map<//>
    <${Asked} of=${asked}>${() => shown}<//>`;
}

function Shown({ data, list, chosen }) {
  if (data.nodes.length === 0) return html`<${Empty}>No agent has shown itself yet. Start some: <code>mesh run MODULE:AGENT</code><//>`;
  const told = `${plural(data.nodes.length, "agent")} of ${plural(new Set(data.nodes.map((own) => own.owner)).size, "owner")}, ${plural(data.edges.reduce((all, own) => all + own.awards, 0), "award")}`;
  return html`<p class="lead">${told}${data.left_out ? `; ${plural(data.left_out, "agent")} that did least are the one named …` : ""}.</p>
    ${list ? html`<${Twin} data=${data} />` : html`<div class=${chosen === undefined ? "picture" : "picture split"}><${Drawing} data=${data} chosen=${chosen} />${chosen !== undefined && html`<${Chosen} data=${data} name=${chosen} />`}</div><${Legend} />`}`;
}

// --- the layout

// Edges between the same two agents are one line; it knows its capabilities.
function joined(edges) {
  const lines = new globalThis.Map();
  for (const own of edges) {
    const key = `${own.caller}\n${own.agent}`;
    const line = lines.get(key) ?? { key, caller: own.caller, agent: own.agent, awards: 0, completed: 0, failed: 0, spent: 0, parts: [] };
    line.awards += own.awards;
    line.completed += own.completed;
    line.failed += own.failed;
    line.spent += own.spent_micro_usd;
    line.parts.push(own);
    lines.set(key, line);
  }
  return [...lines.values()];
}

// How many hands an agent is away from outside; -1 for who took part in nothing.
function depths(nodes, lines) {
  const far = new globalThis.Map([[OUTSIDE, 0]]);
  const next = new globalThis.Map();
  for (const own of lines) next.set(own.caller, [...(next.get(own.caller) ?? []), own.agent]);
  const walk = (queue) => {
    for (const name of queue)
      for (const own of next.get(name) ?? [])
        if (!far.has(own)) {
          far.set(own, far.get(name) + 1);
          queue.push(own);
        }
  };
  walk([OUTSIDE]);
  for (const own of lines)
    if (!far.has(own.caller)) {
      far.set(own.caller, 1);
      walk([own.caller]);
    }
  return (name) => far.get(name) ?? -1;
}

function laidOut(data) {
  const size = data.nodes.length > MANY ? SMALL : LARGE;
  const lines = joined(data.edges);
  const far = depths(data.nodes, lines);
  const deepest = Math.max(1, ...data.nodes.map((own) => far(own.agent)));
  const quiet = data.nodes.some((own) => far(own.agent) < 0);
  const last = deepest + (quiet ? 1 : 0);
  const cells = new globalThis.Map(); // owner -> column -> nodes
  for (const own of data.nodes) {
    const column = far(own.agent) < 0 ? last : far(own.agent);
    const lane = cells.get(own.owner) ?? new globalThis.Map();
    lane.set(column, [...(lane.get(column) ?? []), own]);
    cells.set(own.owner, lane);
  }
  const first = (lane) => Math.min(...lane.keys());
  const lanes = [...cells].sort(([a, one], [b, two]) => first(one) - first(two) || (a < b ? -1 : 1));
  const wide = (column) => Math.max(1, ...lanes.map(([, lane]) => Math.ceil((lane.get(column)?.length ?? 0) / size.rows)));
  const left = [0, 112];
  for (let column = 1; column <= last; column++) left[column + 1] = left[column] + wide(column) * (size.width + size.gap) + size.column;
  const spots = new globalThis.Map();
  const bands = [];
  let top = 8;
  for (const [owner, lane] of lanes) {
    const rows = Math.max(...[...lane.values()].map((own) => Math.min(size.rows, own.length)));
    const height = HEAD + rows * (size.height + size.gap) + 4;
    for (const [column, nodes] of lane) {
      const used = Math.min(size.rows, nodes.length);
      const free = ((rows - used) * (size.height + size.gap)) / 2;
      nodes.forEach((own, index) => {
        const x = left[column] + Math.floor(index / size.rows) * (size.width + size.gap);
        spots.set(own.agent, { x, y: top + HEAD + free + (index % size.rows) * (size.height + size.gap), node: own });
      });
    }
    bands.push({ owner, top, height });
    top += height + 8;
  }
  const width = left[last + 1] - size.column + 24;
  return { size, lines, spots, bands, width, height: top, middle: middleOf(spots, lines, size, top), quiet: quiet ? left[last] : -1 };
}

// Where work comes in: beside those whom outside asks.
function middleOf(spots, lines, size, top) {
  const asked = lines.filter((own) => own.caller === OUTSIDE && spots.has(own.agent)).map((own) => spots.get(own.agent).y + size.height / 2);
  const mean = asked.length ? asked.reduce((all, own) => all + own, 0) / asked.length : top / 2;
  return Math.max(38, Math.min(top - 38, mean));
}

function curve(from, to) {
  const reach = to.x > from.x ? Math.max(28, (to.x - from.x) * 0.45) : 70 + Math.abs(to.y - from.y) * 0.2;
  return `M${from.x} ${from.y}C${from.x + reach} ${from.y} ${to.x - reach} ${to.y} ${to.x} ${to.y}`;
}

// --- the drawing

function Drawing({ data, chosen }) {
  const shape = data.nodes.map((own) => `${own.agent}\t${own.owner}`).join("\n") + data.edges.map((own) => `${own.caller}\t${own.agent}`).join("\n");
  const places = useMemo(() => laidOut(data), [shape]);
  const lines = useMemo(() => joined(data.edges), [data]);
  const nodes = useMemo(() => new globalThis.Map(data.nodes.map((own) => [own.agent, own])), [data]);
  const [near, setNear] = useState(null);
  const fresh = useGrown(lines);
  const { size, spots, bands, width, height } = places;
  const looked = near ?? chosen ?? null;
  const touches = (own) => looked === null || own.caller === looked || own.agent === looked;
  const most = Math.max(2, ...lines.map((own) => own.awards));
  const from = (name) => (name === OUTSIDE ? { x: 80, y: places.middle } : { x: spots.get(name).x + size.width, y: spots.get(name).y + size.height / 2 });
  const to = (name) => ({ x: spots.get(name).x - 2, y: spots.get(name).y + size.height / 2 });
  const able = lines.filter((own) => spots.has(own.agent) && (own.caller === OUTSIDE || spots.has(own.caller)));
  const crowded = able.length > MAX_LINES;
  const busiest = crowded ? new Set([...able].sort((a, b) => b.awards - a.awards).slice(0, MAX_LINES)) : null;
  const drawn = crowded ? able.filter((own) => busiest.has(own) || (looked !== null && touches(own))) : able;
  const names = [...spots.keys()];
  const focus = useRef(null);
  const step = (event, index) => {
    const next = { ArrowDown: index + 1, ArrowRight: index + 1, ArrowUp: index - 1, ArrowLeft: index - 1, Home: 0, End: names.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      focus.current.querySelector(`[data-node="${Math.max(0, Math.min(names.length - 1, next))}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      narrow({ agent: names[index] === chosen ? "" : names[index] });
    } else if (event.key === "Escape") narrow({ agent: "" });
  };
  const start = Math.max(0, names.indexOf(chosen));
  return html`<div class="canvas" role="region" aria-label="The map, can be scrolled" tabindex="0">
    <svg ref=${focus} class=${size === SMALL ? "map small" : "map"} viewBox=${`0 0 ${width} ${height}`} style=${{ minWidth: `${Math.min(width, width * 0.62)}px`, maxWidth: `${width * 1.15}px` }} role="group" aria-label="Agents by owner; arrow keys go from one to the next, Enter chooses one">
      ${bands.map((own) => html`<g key=${own.owner} class="lane"><rect x="100" y=${own.top} width=${width - 104} height=${own.height} rx="10" /><text x="112" y=${own.top + 15}>${plain(own.owner, 60) || "no owner known"}</text></g>`)}
      ${places.quiet >= 0 && html`<text class="aside-text" x=${places.quiet} y="4">no delegation in the window</text>`}
      <g class=${crowded ? "edges crowded" : "edges"}>${drawn.map((own) => {
        const path = curve(from(own.caller), to(own.agent));
        const thick = (crowded ? 0.6 : 1) + (crowded ? 1.6 : 3.6) * (Math.log(1 + own.awards) / Math.log(1 + most));
        return html`<g key=${own.key} class=${`edge ${failing(own)} ${touches(own) ? "" : "dim"}`}><path d=${path} stroke-width=${thick.toFixed(1)}><title>${told(own)}</title></path>${fresh.has(own.key) && html`<path key=${own.awards} class="pulse" d=${path} pathLength="100" stroke-width=${(thick + 1.5).toFixed(1)} />`}</g>`;
      })}</g>
      <g class="outside"><circle cx="48" cy=${places.middle} r="30" /><text x="48" y=${places.middle + 4} text-anchor="middle">outside</text></g>
      ${names.map((name, index) => {
        const { x, y } = spots.get(name);
        return html`<${Node} key=${name} node=${nodes.get(name) ?? spots.get(name).node} x=${x} y=${y} size=${size} index=${index} entry=${index === start} chosen=${name === chosen} dim=${looked !== null && name !== looked && !lines.some((own) => touches(own) && (own.caller === name || own.agent === name))}
          onStep=${step} onNear=${setNear} />`;
      })}
      ${drawn.length <= SHOW_COUNTS && html`<g class="counts">${drawn.map((own) => {
        const [a, b] = [from(own.caller), to(own.agent)];
        return html`<text key=${own.key} class=${touches(own) ? "" : "dim"} x=${(a.x + b.x) / 2} y=${(a.y + b.y) / 2 - 4} text-anchor="middle" aria-hidden="true">${count(own.awards)}</text>`;
      })}</g>`}
    </svg>
    <p class="near faint" aria-hidden="true">${nodes.has(near) ? saying(nodes.get(near), stateOf(nodes.get(near))) : ""}</p>${crowded && html`<p class="near">The busiest ${MAX_LINES} of ${count(able.length)} lines, and those of the agent you point at or choose; the list has them all.</p>`}</div>`;
}

const stateOf = (node) => (node.halted ? "halted" : node.state !== "active" ? node.state : node.instances === 0 ? "no instance" : "");
const saying = (node, state) => `${plain(node.agent, 200)}, ${node.owner ? `of ${plain(node.owner, 100)}` : "no owner known"}, ${plural(node.instances, "instance")}, ${count(node.load)} of ${count(node.slots)} slots busy${state ? `, ${state}` : ""}`;

function Node({ node, x, y, size, index, entry, chosen, dim, onStep, onNear }) {
  const absent = node.instances === 0;
  const state = stateOf(node);
  const text = size === SMALL ? 10.5 : 12.5;
  const says = saying(node, state);
  const share = node.slots ? Math.min(1, node.load / node.slots) : 0;
  return html`<g class=${`node ${absent ? "absent" : ""} ${node.halted ? "halted" : ""} ${chosen ? "chosen" : ""} ${dim ? "dim" : ""}`} transform=${`translate(${x} ${y})`} role="button" tabindex=${entry ? "0" : "-1"} data-node=${index} aria-pressed=${chosen ? "true" : "false"} aria-label=${says}
    onKeyDown=${(event) => onStep(event, index)} onClick=${() => narrow({ agent: chosen ? "" : node.agent })} onPointerEnter=${() => onNear(node.agent)} onPointerLeave=${() => onNear(null)} onFocus=${() => onNear(node.agent)} onBlur=${() => onNear(null)}>
    <rect width=${size.width} height=${size.height} rx="7" />
    ${node.load > 0 && html`<rect class="load" x="6" y=${size.height - 4.5} width=${Math.max(3, (size.width - 12) * share)} height="2.5" rx="1.2" />`}
    <svg x="10" y="0" width=${size.width - 14} height=${size.height}><text y=${size === SMALL ? size.height / 2 + 3.5 : state ? 16 : size.height / 2 + 4} font-size=${text}>${plain(node.agent, 200)}</text>
      ${size !== SMALL && state && html`<text class="state" y="30">${state}</text>`}</svg>
  </g>`;
}

// The lines that grew since the figures before: something moves along them.
function useGrown(lines) {
  const before = useRef(null);
  const more = before.current === null ? [] : lines.filter((own) => own.awards > (before.current.get(own.key) ?? 0));
  const grown = new Set(more.slice(0, MAX_MOVING).map((own) => own.key));
  useEffect(() => { before.current = new globalThis.Map(lines.map((own) => [own.key, own.awards])); }, [lines]);
  return grown;
}

const failing = (own) => (own.failed === 0 ? "" : own.failed * 10 < own.awards ? "some" : "many");
const who = (name) => (name === OUTSIDE ? "outside" : plain(name, 100));
const told = (own) => `${who(own.caller)} → ${who(own.agent)}: ${plural(own.awards, "award")}, ${count(own.completed)} completed, ${count(own.failed)} failed, ${money(own.spent)}`;

const Legend = () => html`<p class="legend map-legend"><span><svg width="34" height="10" aria-hidden="true"><path d="M1 5h32" class="line thin" /></svg> a delegation; thicker is more</span><span><svg width="34" height="10" aria-hidden="true"><path d="M1 5h32" class="line some" /></svg> less than a tenth failed</span><span><svg width="34" height="10" aria-hidden="true"><path d="M1 5h32" class="line many" /></svg> a tenth failed, or more</span></p>`;

// --- in words

function Chosen({ data, name }) {
  const node = data.nodes.find((own) => own.agent === name);
  const given = data.edges.filter((own) => own.agent === name);
  const asks = data.edges.filter((own) => own.caller === name);
  const line = (own, other, word) => html`<li key=${other + own.capability}><span class="strong"><${Say} text=${own.capability} most=${60} /></span> <span class="faint">${word}</span> ${other === OUTSIDE ? "outside" : html`<a href=${address("/map", { ...place.value.params, agent: other })}><${Say} text=${other} most=${60} /></a>`}<p class="figures">${plural(own.awards, "award")} · ${count(own.completed)} completed${own.failed ? html` · <span class="bad">${count(own.failed)} failed</span>` : ""} · ${sum(own.spent_micro_usd)}</p></li>`;
  return html`<aside class="panel chosen" aria-label="The chosen agent"><header><h2><${Say} text=${name || "outside"} most=${80} /></h2><button type="button" class="plain" onClick=${() => narrow({ agent: "" })}>Close</button></header>
    ${node ? html`<p><${Status} of=${node.halted ? "halted" : node.state} /> <span class="faint">of</span> <${Say} text=${node.owner || "nobody known"} most=${80} /></p><p class="figures">${plural(node.instances, "instance")} · ${count(node.load)} of ${count(node.slots)} slots busy</p>` : html`<p>It is not among the agents that are drawn.</p>`}
    <h3>Was given</h3>${given.length ? html`<ul class="list">${given.map((own) => line(own, own.caller, "by"))}</ul>` : html`<${Empty}>Nothing in the window.<//>`}
    <h3>Delegated</h3>${asks.length ? html`<ul class="list">${asks.map((own) => line(own, own.agent, "to"))}</ul>` : html`<${Empty}>Nothing in the window.<//>`}
    <p class="foot"><a href=${toAgent(name)}>Its card in the registry</a> · <a href=${address("/tasks", { level: "tasks", agent: name })}>its tasks</a></p></aside>`;
}

function Twin({ data }) {
  const nodes = [...data.nodes].sort((a, b) => (a.owner < b.owner ? -1 : a.owner > b.owner ? 1 : a.agent < b.agent ? -1 : 1));
  return html`<${Panel} title="Delegations"><${Table} label="Delegations" heads=${["From", "Capability", "To", ["Awards", "right"], ["Completed", "right"], ["Failed", "right"], ["Spent", "right"]]}>
      ${data.edges.map((own) => html`<tr key=${`${own.caller}\n${own.capability}\n${own.agent}`}><td>${own.caller === OUTSIDE ? html`<span class="faint">outside</span>` : html`<a href=${toAgent(own.caller)}><${Say} text=${own.caller} most=${80} /></a>`}</td><td><${Say} text=${own.capability} most=${80} /></td><td><a href=${toAgent(own.agent)}><${Say} text=${own.agent} most=${80} /></a></td><td class="right">${count(own.awards)}</td><td class="right">${count(own.completed)}</td><td class=${own.failed ? "right bad" : "right"}>${count(own.failed)}</td><td class="right">${money(own.spent_micro_usd)}</td></tr>`)}<//><//>
    <${Panel} title="Agents by owner"><${Table} label="Agents by owner" heads=${["Owner", "Agent", "State", ["Instances", "right"], ["Busy", "right"], ["Slots", "right"]]}>
      ${nodes.map((own) => html`<tr key=${own.agent}><td><${Say} text=${own.owner || "–"} most=${80} /></td><td><a href=${toAgent(own.agent)}><${Say} text=${own.agent} most=${80} /></a></td><td><${Status} of=${own.halted ? "halted" : own.state} /></td><td class="right">${count(own.instances)}</td><td class="right">${count(own.load)}</td><td class="right">${count(own.slots)}</td></tr>`)}<//><//>`;
}
