// What open workflows may still spend, the scarcest first, and who spent what.

import { useAsked } from "../api.js";
import { Asked, Empty, Heading, Meter, Panel, Say, Select, Time } from "../bits.js";
import { html } from "../dom.js";
import { count, DIMENSIONS, money, plural, sum } from "../format.js";
import { pulse, resets } from "../live.js";
import { agent as toAgent, address, chain, narrow, place } from "../place.js";

const WINDOWS = [["60", "last hour"], ["15", "last 15 minutes"], ["5", "last 5 minutes"], ["1", "last minute"]];
const PART = 100;

export function Budgets() {
  const { minutes = "60", offset = "0" } = place.value.params;
  const asked = useAsked("/budgets", { minutes, offset, limit: PART }, [pulse, resets]);
  return html`<${Heading} aside=${html`<${Select} name="minutes" label="Spent in the" options=${WINDOWS} fallback="60" />`}>Budgets<//>
    <${Asked} of=${asked}>${(data) => html`<div class="columns">
      <${Panel} title="Open workflows" aside=${html`<span class="aside">${plural(data.total, "workflow")}; the scarcest first</span>`}>
        ${data.items.length ? html`<ul>${data.items.map((own) => html`<${Budget} key=${own.workflow} own=${own} />`)}</ul>` : html`<${Empty}>No workflow is open.<//>`}
        <${Further} data=${data} />
      <//>
      <div><${Spenders} title="Spent by agents" items=${data.spending.agents} to=${toAgent} /><${Spenders} title="Spent on capabilities" items=${data.spending.capabilities} to=${(name) => address("/tasks", { level: "tasks", capability: name })} /></div>
    </div>`}<//>`;
}

function Further({ data }) {
  const next = data.offset + PART;
  if (data.total <= PART) return null;
  return html`<p class="foot">${data.offset > 0 && html`<button type="button" class="plain" onClick=${() => narrow({ offset: Math.max(0, data.offset - PART) || "" })}>Back</button> `}${next < data.total && html`<button type="button" class="plain" onClick=${() => narrow({ offset: next })}>Further</button>`} ${count(data.offset + 1)} to ${count(Math.min(next, data.total))} of ${count(data.total)}</p>`;
}

function Budget({ own }) {
  const limited = DIMENSIONS.filter(([name]) => own.grant[name]);
  return html`<li class="budget"><div><a class="strong" href=${chain(own.workflow)}><${Say} text=${own.goal} most=${120} /></a><p class="figures"><${Say} text=${own.capability} most=${80} /> · until <${Time} at=${own.deadline} /></p>${own.reserved.micro_usd > 0 && html`<p class="figures">${money(own.reserved.micro_usd)} set aside</p>`}</div>
    <dl class="meters">${limited.map(([name, label]) => html`<div key=${name}><dt>${label}</dt><dd><${Meter} share=${own.cost[name] / own.grant[name]} label=${label} /><span class="figure">${name === "micro_usd" ? `${sum(own.cost[name])} of ${sum(own.grant[name])}` : `${count(own.cost[name])} of ${count(own.grant[name])}`}</span></dd></div>`)}</dl></li>`;
}

function Spenders({ title, items, to }) {
  const most = Math.max(1, ...items.map((own) => own.spent_micro_usd));
  return html`<${Panel} title=${title}>${items.length ? html`<ul class="spenders">${items.slice(0, 40).map((own) => html`<li key=${own.name}><a href=${to(own.name)}><${Say} text=${own.name} most=${60} /></a><${Meter} share=${own.spent_micro_usd / most} label=${`of the highest`} tone="busy" /><span class="figure right">${money(own.spent_micro_usd)}</span></li>`)}</ul>` : html`<${Empty}>Nothing was spent.<//>`}<//>`;
}
