// Who is there: cards, living instances, and what fits nowhere.

import { Halt, Lift } from "../act.js";
import { useAsked } from "../api.js";
import { Asked, Empty, Heading, Panel, Say, Search, Status, Table, Time } from "../bits.js";
import { html } from "../dom.js";
import { amount, count, plain, plural, span } from "../format.js";
import { changed, resets } from "../live.js";
import { agent as toAgent, address, narrow, place } from "../place.js";

const PART = 120;

export function Registry() {
  const { agent } = place.value.params;
  return agent ? html`<${One} name=${agent} />` : html`<${List} />`;
}

function List() {
  const { text = "", owner = "", capability = "", offset = "0" } = place.value.params;
  const asked = useAsked("/agents", { text, owner, capability, offset, limit: PART }, [changed.registry, changed.halts, resets]);
  return html`<${Heading}>Registry<//>
    <div class="filters bar-of-filters" role="search"><${Search} name="text" label="Name, owner or purpose" wide /><${Search} name="owner" label="Owner" /><${Search} name="capability" label="Capability" /></div>
    <${Asked} of=${asked}>${(data) => html`<${Orphans} of=${data.orphans} /><p class="lead" role="status">${plural(data.total, "agent")}</p>
      ${data.items.length ? html`<ul class="cards">${data.items.map((own) => html`<${Card} key=${own.agent} own=${own} />`)}</ul>` : html`<${Empty}>${text || owner || capability ? "Nobody fits these filters." : html`No agent has a card yet. Start one: <code>mesh run MODULE:AGENT</code>`}<//>`}
      ${data.total > PART && html`<p class="foot">${data.offset > 0 && html`<button type="button" class="plain" onClick=${() => narrow({ offset: Math.max(0, data.offset - PART) || "" })}>Back</button> `}${data.offset + PART < data.total && html`<button type="button" class="plain" onClick=${() => narrow({ offset: data.offset + PART })}>Further</button>`} ${count(data.offset + 1)} to ${count(Math.min(data.offset + PART, data.total))}</p>`}`}<//>`;
}

const stateOf = (own) => (own.halt ? "halted" : (own.card?.state ?? "unknown"));

function Card({ own }) {
  const { card, instances } = own;
  const busy = instances.reduce((all, one) => all + one.load, 0);
  const slots = instances.reduce((all, one) => all + one.slots, 0);
  return html`<li class="card"><h2><a href=${toAgent(own.agent)}><${Say} text=${own.agent} most=${80} /></a></h2>
    <p class="faint"><${Say} text=${card?.owner || "no card"} most=${80} />${card ? html` · <${Say} text=${card.version} most=${30} />` : ""}</p>
    ${card && html`<p><${Say} text=${card.purpose} most=${160} /></p>`}
    <p class="figures"><${Status} of=${stateOf(own)} /> · ${instances.length ? `${plural(instances.length, "instance")}, ${count(busy)} of ${count(slots)} slots busy` : html`<span class="warn">no instance</span>`}</p>
    ${card && html`<div class="tags">${card.capabilities.slice(0, 8).map((one) => html`<span key=${one.name} class="tag"><${Say} text=${one.name} most=${50} /></span>`)}${card.capabilities.length > 8 ? html`<span class="tag">${card.capabilities.length - 8} more</span>` : null}</div>`}</li>`;
}

const ORPHANS = [["agents_without_instance", "Cards without an instance"], ["instances_without_card", "Instances without a card"], ["capabilities_without_agent", "Asked for, and nobody offers it"]];

function Orphans({ of }) {
  const there = ORPHANS.filter(([name]) => of[name].length);
  if (!there.length) return null;
  return html`<${Panel} title="Fits nowhere"><dl class="facts">${there.map(([name, label]) => html`<div key=${name}><dt>${label}</dt><dd>${of[name].slice(0, 30).map((own, index) => html`${index ? ", " : ""}<${Say} key=${own} text=${own} most=${80} />`)}${of[name].length > 30 ? ` and ${count(of[name].length - 30)} more` : ""}</dd></div>`)}</dl><//>`;
}

const Names = ({ of }) => (of.length ? of.map((own, index) => html`${index ? ", " : ""}<${Say} key=${own} text=${own} most=${100} />`) : html`<span class="faint">nothing</span>`);

function One({ name }) {
  const asked = useAsked(`/agents/${encodeURIComponent(name)}`, {}, [changed.registry, changed.halts, resets]);
  return html`<${Heading} aside=${html`<span class="filters"><a href="/registry">All agents</a>${asked.data?.card && (asked.data.halt ? html`<${Lift} target=${`agent/${name}`} />` : html`<${Halt} target=${`agent/${name}`} />`)}</span>`}><${Say} text=${name} most=${160} /><//>
    <${Asked} of=${asked}>${({ card, instances, halt, agent }) => html`
      ${halt && html`<p class="note warn"><strong>Halted</strong> since <${Time} at=${halt.since} /> by <${Say} text=${halt.person || halt.detector} most=${80} />, because <${Say} text=${halt.because} most=${600} /></p>`}
      ${card ? html`<p class="lead"><${Say} text=${card.purpose} most=${600} /></p><dl class="facts">
        <div><dt>State</dt><dd><${Status} of=${halt ? "halted" : card.state} /></dd></div><div><dt>Owner</dt><dd><${Say} text=${card.owner} most=${80} /></dd></div><div><dt>Version</dt><dd><${Say} text=${card.version} most=${60} /></dd></div>
        <div><dt>May ask for</dt><dd><${Names} of=${card.calls} /></dd></div><div><dt>Reads</dt><dd><${Names} of=${card.reads} /></dd></div><div><dt>Writes</dt><dd><${Names} of=${card.writes} /></dd></div><div><dt>Tools</dt><dd><${Names} of=${card.tools} /></dd></div></dl>` : html`<p class="note warn"><strong>It has no card.</strong> Its instances say that they are there, and nobody gives them work.</p>`}
      <${Panel} title="Instances" aside=${html`<a class="aside" href=${address("/tasks", { level: "tasks", agent })}>its tasks</a>`}>${instances.length ? html`<${Table} label="Instances" heads=${["Instance", ["Busy", "right"], ["Slots", "right"], "Draining", "Seen", ["Inbox", "opt"]]}>${instances.map((own) => html`<tr key=${own.instance}><td class="mono"><${Say} text=${own.instance} most=${120} /></td><td class="right">${count(own.load)}</td><td class="right">${count(own.slots)}</td><td>${own.draining ? "yes" : "no"}</td><td><${Time} at=${own.seen} /></td><td class="mono opt"><${Say} text=${own.inbox.topic} most=${80} /> ${own.inbox.partition}</td></tr>`)}<//>` : html`<${Empty}>No instance of it is alive.<//>`}<//>
      ${card && html`<${Panel} title="Capabilities">${card.capabilities.map((own) => html`<${Capability} key=${own.name} own=${own} />`)}<//>`}`}<//>`;
}

function Capability({ own }) {
  return html`<details class="budget-like"><summary><span class="strong"><${Say} text=${own.name} most=${100} /></span> <span class="faint">${own.effect} · ${own.mode}${own.bids ? " · bids" : ""}</span></summary>
    <dl class="facts"><div><dt>Time limit</dt><dd>${span(own.timeout_ms)}</dd></div><div><dt>Lease</dt><dd>${span(own.lease_ms)}</dd></div><div><dt>Attempts</dt><dd>${count(own.max_attempts)}</dd></div><div><dt>Acceptance</dt><dd>${own.acceptance}</dd></div><div><dt>Budget</dt><dd>${own.budget ? amount(own.budget) : "as the policy has it"}</dd></div><div><dt>Handler</dt><dd class="mono">${plain(own.digest, 40)}</dd></div></dl>
    <h3>Input</h3><pre tabindex="0">${plain(JSON.stringify(own.input, null, 2), 20_000)}</pre><h3>Output</h3><pre tabindex="0">${plain(JSON.stringify(own.output, null, 2), 20_000)}</pre></details>`;
}
