// Shared state by key; one entry with its value, and what speaks for others.

import { useAsked, useChunks } from "../api.js";
import { Asked, Check, Empty, Heading, Panel, Problem, Rows, Say, Search, Time, Total } from "../bits.js";
import { html } from "../dom.js";
import { count, plain, plural, short } from "../format.js";
import { changed, resets } from "../live.js";
import { agent as toAgent, address, chain, place } from "../place.js";

const to = (own) => address("/state", { key: own.key });
const COLUMNS = [
  { name: "Key", cell: (own) => html`<a tabindex="-1" class="mono" href=${to(own)}><${Say} text=${own.key} most=${200} /></a>` },
  { name: "Version", class: "right", cell: (own) => count(own.version) },
  { name: "State", cell: (own) => (own.contested ? html`<span class="tag warn">contested</span>` : own.deleted ? html`<span class="tag">deleted</span>` : html`<span class="faint">settled</span>`) },
  { name: "Agent", class: "opt", cell: (own) => html`<${Say} text=${own.agent} most=${80} />` },
  { name: "Written", class: "right opt", cell: (own) => html`<${Time} at=${own.at} />` },
  { name: "Bytes", class: "right opt", cell: (own) => count(own.bytes) },
  { name: "Where", class: "right opt mono", cell: (own) => own.where },
];

export function State() {
  const { key } = place.value.params;
  return key ? html`<${Entry} name=${key} />` : html`<${List} />`;
}

function List() {
  const { prefix = "", contested = "" } = place.value.params;
  const list = useChunks("/state", { prefix, contested }, [changed.state, resets]);
  return html`<${Heading}>State<//>
    <div class="filters bar-of-filters" role="search"><${Search} name="prefix" label="Keys that begin with" wide /><${Check} name="contested" label="Contested only" /><${Total} total=${list.total} one="key" /></div>
    <${Problem} problem=${list.problem} />
    ${list.extra?.left_out > 0 && html`<p class="note warn">${plural(list.extra.left_out, "key")} more than this dashboard keeps: <code>mesh state get</code> shows every one.</p>`}
    ${list.total === 0 ? html`<${Empty}>${prefix || contested ? "No key fits these filters." : "Nothing is in shared state."}<//>` : html`<${Rows} label="Keys of shared state" columns=${COLUMNS} total=${list.total ?? 0} get=${list.get} need=${list.need} to=${to} height=${40} of=${list.key} />`}`;
}

const shown = (value, deleted) => (deleted ? html`<p class="faint">deleted</p>` : html`<pre tabindex="0">${plain(JSON.stringify(value, null, 2), 50_000)}</pre>`);

function Entry({ name }) {
  const asked = useAsked("/state/entry", { key: name }, [changed.state, resets]);
  return html`<${Heading} aside=${html`<a href="/state">All keys</a>`}><${Say} text=${name} most=${300} class="mono" /><//>
    <${Asked} of=${asked}>${(own) => html`<dl class="facts">
      <div><dt>Version</dt><dd>${count(own.version)}</dd></div><div><dt>State</dt><dd>${own.contested ? html`<span class="tag warn">contested</span>` : own.deleted ? "deleted" : "settled"}</dd></div>
      <div><dt>Written by</dt><dd>${own.person ? html`<${Say} text=${own.person} most=${80} />` : html`<a href=${toAgent(own.agent)}><${Say} text=${own.agent} most=${80} /></a>`}</dd></div>
      <div><dt>At</dt><dd><${Time} at=${own.at} /></dd></div>
      ${own.objective && html`<div><dt>For the objective</dt><dd><${Say} text=${own.objective} most=${80} /></dd></div>`}
      ${own.verdict && html`<div><dt>Verdict</dt><dd><${Say} text=${own.verdict} most=${80} /></dd></div>`}
      ${own.workflow && html`<div><dt>Workflow</dt><dd><a class="mono" href=${chain(own.workflow)}>${plain(short(own.workflow))}</a></dd></div>`}
      <div><dt>Proposed at</dt><dd class="mono">${plain(own.change)}</dd></div></dl>
      ${own.because && html`<p class="note"><strong>Because:</strong> <${Say} text=${own.because} most=${2000} /></p>`}
      <${Panel} title="Value">${shown(own.value, own.deleted)}<//>
      ${own.candidates.length > 0 && html`<${Panel} title="A person must settle it"><p class="lead-in">Each of these was proposed as well. <code>mesh state settle</code> takes one, with a reason.</p>${own.candidates.map((one) => html`<section class="incident" key=${one.take}><header><span class="strong">${count(one.take)}</span> <${Say} text=${one.agent} most=${80} />${one.objective && html` <span class="tag"><${Say} text=${one.objective} most=${60} /></span>`}<span class="where">${plain(one.change)}</span></header>${one.because && html`<p><${Say} text=${one.because} most=${600} /></p>`}${shown(one.value, one.deleted)}</section>`)}<//>`}`}<//>`;
}
