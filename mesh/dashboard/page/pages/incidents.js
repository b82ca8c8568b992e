// What detectors and people found, what is halted, and what could not be used.

import { Lift } from "../act.js";
import { useAsked } from "../api.js";
import { Asked, Check, Empty, Heading, Panel, Say, Search, Table, Time, Views, Where } from "../bits.js";
import { html } from "../dom.js";
import { amount, count, plain, plural } from "../format.js";
import { changed, now, resets } from "../live.js";
import { agent as toAgent, chain, narrow, place } from "../place.js";

const PART = 100;

export function Incidents() {
  const { view = "incidents" } = place.value.params;
  return html`<${Heading} aside=${html`<${Views} name="view" label="What is listed" options=${[["incidents", "Incidents"], ["halts", "Halts"], ["letters", "Dead letters"]]} />`}>Incidents<//>
    ${view === "letters" ? html`<${Letters} />` : view === "halts" ? html`<${Halts} />` : html`<${List} />`}`;
}

function List() {
  const { kind = "", workflow = "", detector = "", open = "", offset = "0", id = "" } = place.value.params;
  const asked = useAsked("/incidents", { kind, workflow, detector, open, offset, limit: PART }, [changed.incidents, changed.halts, resets]);
  return html`<div class="filters bar-of-filters" role="search"><${Search} name="kind" label="Kind" /><${Search} name="detector" label="Detector" /><${Search} name="workflow" label="Workflow" wide /><${Check} name="open" label="Asks a person" /></div>
    <${Asked} of=${asked}>${(data) => html`<${Panel} title="Found" aside=${html`<span class="aside" role="status">${plural(data.total, "incident")}</span>`}>
      ${data.items.length ? html`<ul>${data.items.map((own) => html`<${Incident} key=${own.where} own=${own} aimed=${own.id === id} />`)}</ul>` : html`<${Empty}>${kind || workflow || detector || open ? "Nothing fits these filters." : "None was found."}<//>`}
      ${data.total > PART && html`<p class="foot">${data.offset > 0 && html`<button type="button" class="plain" onClick=${() => narrow({ offset: Math.max(0, data.offset - PART) || "" })}>Newer</button> `}${data.offset + PART < data.total && html`<button type="button" class="plain" onClick=${() => narrow({ offset: data.offset + PART })}>Older</button>`} ${count(data.offset + 1)} to ${count(Math.min(data.offset + PART, data.total))}</p>`}
    <//>`}<//>`;
}

function Incident({ own, aimed }) {
  const audit = own.evidence.filter((one) => one.stream === "audit");
  const others = own.evidence.length - audit.length;
  return html`<li class=${aimed ? "incident aimed" : "incident"}><header><span class="strong"><${Say} text=${own.kind.replaceAll("-", " ")} most=${80} /></span>${own.open && html`<span class="tag warn">asks a person</span>`}${own.response && html`<span class="tag"><${Say} text=${own.response} most=${40} /></span>`}<${Time} at=${own.at} /></header>
    <p><${Say} text=${own.text} most=${2000} /></p>
    ${own.chain.length > 0 && html`<p class="path">${own.chain.map((one, index) => html`${index ? " → " : ""}<${Say} key=${one.task} text=${one.capability} most=${60} /> by <${Say} text=${one.agent || "nobody yet"} most=${60} />`)}</p>`}
    <p class="figures">
      ${own.measure && html`<span><${Say} text=${own.measure} />: ${count(own.seen)}, limit ${count(own.limit)}</span>`}
      ${own.spent && html`<span>${amount(own.spent)} spent</span>`}
      <span>found by <${Say} text=${own.person || own.detector} most=${80} />${own.policy ? ` under policy ${count(own.policy)}` : ""}</span>
      ${own.workflow && html`<span><a href=${chain(own.workflow)}>the chain</a></span>`}
      ${audit.length > 0 && html`<span>evidence: ${audit.slice(0, 12).map((one, index) => html`${index ? ", " : ""}<${Where} key=${one.where} at=${one.where} label="evidence: record" />`)}${audit.length > 12 ? ` and ${audit.length - 12} more` : ""}</span>`}
      ${others > 0 && html`<span>${plural(others, "record")} of other topics</span>`}
    </p></li>`;
}

function Halts() {
  const asked = useAsked("/halts", {}, [changed.halts, resets]);
  const to = (target) => (target.startsWith("workflow/") ? chain(target.slice(9)) : target.startsWith("agent/") ? toAgent(target.slice(6)) : null);
  return html`<${Asked} of=${asked}>${(data) => html`<${Panel} title="What is halted">${data.items.length ? html`<${Table} label="Halts" heads=${["Target", "Since", "By", "Because", ["Order", "right"]]}>${data.items.map((own) => html`<tr key=${own.target}><td>${to(own.target) ? html`<a href=${to(own.target)}><${Say} text=${own.target} most=${120} /></a>` : html`<${Say} text=${own.target} most=${120} />`}</td><td><${Time} at=${own.since} /></td><td><${Say} text=${own.person || own.detector} most=${80} /></td><td><${Say} text=${own.because} most=${600} /></td><td class="right"><${Lift} target=${own.target} /></td></tr>`)}<//>` : html`<${Empty}>Nothing is halted.<//>`}<//>`}<//>`;
}

function Letters() {
  const asked = useAsked("/dead-letters", { limit: 500 }, [changed["dead-letters"], resets]);
  return html`<${Asked} of=${asked}>${(data) => html`<${Panel} title="What could not be used" aside=${html`<span class="aside">${plural(now.value?.needs.dead_letters ?? data.total, "dead letter")}</span>`}>${data.items.length ? html`<${Table} label="Dead letters" heads=${["At", "Reason", "Refused by", "From", ["Bytes", "right"], ["SHA-256", "opt"]]}>${data.items.map((own) => html`<tr key=${own.where}><td><${Time} at=${own.at} /></td><td><${Say} text=${own.reason} most=${300} /></td><td><${Say} text=${own.by} most=${80} /></td><td class="mono"><${Say} text=${own.topic} most=${100} /> ${own.partition}/${own.offset}</td><td class="right">${count(own.bytes)}</td><td class="mono opt" title=${own.sha256}>${plain(own.sha256).slice(0, 12)}…</td></tr>`)}<//>` : html`<${Empty}>There is none.<//>`}<//>`}<//>`;
}
