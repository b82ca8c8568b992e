// What runs, what waits for a person, what it costs, what is new.

import { Empty, Figure, Heading, Loading, Meter, Panel, Say, Time, Where } from "../bits.js";
import { html, useRef } from "../dom.js";
import { ago, clock, count, DIMENSIONS, money, ms, plural, sum } from "../format.js";
import { now, position, pulse, since } from "../live.js";
import { address, agent, chain } from "../place.js";

const QUIET = new Set(["LeaseRenewed", "SupervisionRenewed", "SupervisionTaken", "SupervisionReleased"]);
const RECENT = 14;

export function Now() {
  const own = now.value;
  if (!own) return html`<${Heading}>Now<//><${Loading} />`;
  const { workflows, spend, agents } = own;
  const phases = (name) => workflows.phases[name] ?? 0;
  const waiting = phases("suspended") + phases("review");
  const ended = Object.values(workflows.ended).reduce((a, b) => a + b, 0);
  const failed = ended - (workflows.ended.completed ?? 0);
  return html`<${Heading} aside=${html`<p class="aside">as of <${Time} at=${own.at} /></p>`}>Now<//>
    <dl class="stats">
      <${Figure} label="Running" value=${count(workflows.open - waiting)} note=${`${plural(own.tasks.open, "task")} open`} />
      <${Figure} label="Waiting" value=${count(waiting)} note="suspended or in review" tone=${waiting ? "warn" : ""} />
      <${Figure} label="Completed" value=${count(workflows.ended.completed ?? 0)} note="in the last hour" />
      <${Figure} label="Failed" value=${count(failed)} note=${failed ? Object.entries(workflows.ended).filter(([name]) => name !== "completed").map(([name, number]) => `${count(number)} ${name}`).join(", ") : "in the last hour"} tone=${failed ? "bad" : ""} />
      <${Figure} label="Spent" value=${sum(spend.spent_micro_usd)} note=${spend.tokens ? `${count(spend.tokens)} tokens, last hour` : "in the last hour"} />
      <${Figure} label="Agents" value=${count(agents.cards)} note=${`${plural(agents.instances, "instance")} alive`} />
    </dl>
    <div class="columns">
      <div>
        <${Needs} needs=${own.needs} at=${ms(own.at)} />
        <${Minutes} minutes=${own.minutes} />
        <${Recent} seed=${own.recent} />
      </div>
      <div>
        <${Ceilings} spend=${spend} open=${workflows.open} />
        <${Found} incidents=${own.incidents} at=${ms(own.at)} />
      </div>
    </div>`;
}

const KINDS = { parked: "Parked", halt: "Halted", contested: "Contested", question: "Asks" };
const toNeed = (own) =>
  own.workflow ? chain(own.workflow) : own.kind === "contested" ? address("/state", { key: own.key }) : own.target.startsWith("agent/") ? agent(own.target.slice(6)) : "/incidents";

function Needs({ needs, at }) {
  const items = needs.items.slice(0, 8);
  const letters = needs.dead_letters;
  return html`<${Panel} title="Waits for a person" aside=${html`<span class="aside">${needs.total > items.length ? `${items.length} of ${count(needs.total)}` : ""}</span>`}>
    ${items.length === 0 ? html`<${Empty}>Nothing waits for a person.<//>` : html`<ul class="list">${items.map((own) => html`<li key=${own.kind + own.key + own.target + own.task}><span class="tag warn">${KINDS[own.kind] ?? own.kind}</span><a href=${toNeed(own)}><${Say} text=${own.text} most=${180} /></a><span class="faint">${ago(own.since, at)}</span></li>`)}</ul>`}
    ${letters > 0 && html`<p class="foot"><a href="/incidents?view=letters">${plural(letters, "dead letter")}</a>: what could not be used</p>`}
  <//>`;
}

function Found({ incidents, at }) {
  return html`<${Panel} title="Incidents" aside=${html`<a class="aside" href="/incidents">all</a>`}>
    ${incidents.length === 0 ? html`<${Empty}>None was found.<//>` : html`<ul class="list tall">${incidents.map((own) => html`<li key=${own.id}><a href=${address("/incidents", { id: own.id })}><${Say} text=${own.kind.replaceAll("-", " ")} most=${60} class="strong" /></a><span class="faint">${ago(own.at, at)}</span><p><${Say} text=${own.text} most=${120} /></p></li>`)}</ul>`}
  <//>`;
}

function Ceilings({ spend, open }) {
  const rows = DIMENSIONS.filter(([name]) => spend.granted_open[name]);
  return html`<${Panel} title="Open budgets" aside=${html`<a class="aside" href="/budgets">all</a>`}>
    ${!open || rows.length === 0 ? html`<${Empty}>No open workflow holds a budget.<//>` : html`<dl class="meters">${rows.map(([name, label]) => {
      const [spent, granted] = [spend.spent_open[name], spend.granted_open[name]];
      const text = name === "micro_usd" ? `${sum(spent)} of ${sum(granted)}` : `${count(spent)} of ${count(granted)}`;
      return html`<div key=${name}><dt>${label}</dt><dd><${Meter} share=${spent / granted} label=${label} /><span class="figure">${text}</span></dd></div>`;
    })}</dl>`}
  <//>`;
}

const WIDE = 600, TALL = 96;

function Minutes({ minutes }) {
  const most = Math.max(4, ...minutes.map((own) => own.completed + own.failed));
  const step = WIDE / minutes.length;
  const high = (number) => (number ? Math.max(2, (number / most) * (TALL - 14)) : 0);
  const all = (name) => minutes.reduce((total, own) => total + own[name], 0);
  const told = `${plural(all("completed"), "workflow")} completed and ${count(all("failed"))} not, in the last hour`;
  const first = minutes[0], last = minutes[minutes.length - 1];
  return html`<${Panel} title="The last hour" aside=${html`<span class="aside legend"><span class="key good"></span>completed <span class="key bad hatched"></span>failed</span>`}>
    <svg class="minutes" viewBox=${`0 0 ${WIDE} ${TALL}`} preserveAspectRatio="none" role="img" aria-label=${told}>
      <defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-base" width="5" height="5" /><rect class="hatch-line" width="2" height="5" /></pattern></defs>
      <line class="base" x1="0" x2=${WIDE} y1=${TALL - 0.5} y2=${TALL - 0.5} />
      ${minutes.map((own, index) => {
        const good = high(own.completed), bad = high(own.failed);
        return html`<g key=${own.at}><title>${clock(own.at)}: ${own.completed} completed, ${own.failed} failed, ${money(own.spent_micro_usd)}</title>
          <rect class="bar good" x=${index * step + 1} width=${step - 2} y=${TALL - 1 - good} height=${good} rx="1" />
          <rect class="bar bad" x=${index * step + 1} width=${step - 2} y=${TALL - 1 - good - bad} height=${bad} fill="url(#hatch)" rx="1" /></g>`;
      })}
    </svg>
    <p class="axis"><span>${clock(first.at).slice(0, -3)}</span><span>at most ${plural(most, "workflow")} a minute</span><span>${clock(last.at).slice(0, -3)}</span></p>
  <//>`;
}

// The latest facts: those that the first answer held, then what was told since.
function Recent({ seed }) {
  const start = useRef(null);
  start.current ??= { seed, from: position() };
  pulse.value; // drawn anew when there is more
  const told = [...since(Math.max(start.current.from, position() - 200))].filter((own) => !QUIET.has(own.kind)).reverse();
  const items = told.length >= RECENT ? told : merge(told, seed);
  return html`<${Panel} title="Lately" aside=${html`<a class="aside" href="/audit">the audit stream</a>`}>
    ${items.length === 0 ? html`<${Empty}>Nothing has happened yet. Submit a task: <code>mesh submit CAPABILITY INPUT</code><//>` : html`<ol class="recent">${items.slice(0, RECENT).map((own) => html`<li key=${own.where}><${Time} at=${own.at} />${own.workflow ? html`<a href=${chain(own.workflow)}><${Say} text=${author(own)} most=${40} /></a>` : html`<${Say} text=${author(own)} most=${40} />`}<${Say} text=${own.text} most=${140} class=${own.void ? "struck" : ""} /><${Where} at=${own.where} /></li>`)}</ol>`}
  <//>`;
}

const author = (own) => own.instance.split(".")[0] || own.kind;
function merge(told, seed) {
  const known = new Set(told.map((own) => own.where));
  return [...told, ...seed.filter((own) => !known.has(own.where))];
}
