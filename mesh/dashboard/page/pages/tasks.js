// Workflows and tasks, narrowed by what stands in the address.

import { useChunks } from "../api.js";
import { Check, Empty, Heading, Problem, Rows, Say, Search, Select, Status, Time, Total, Views } from "../bits.js";
import { html } from "../dom.js";
import { count, money, ms, plain, short, span } from "../format.js";
import { pulse, resets, row } from "../live.js";
import { chain, place } from "../place.js";

const STATUSES = [["", "any"], ["running", "running"], ["open", "open"], ["working", "working"], ["suspended", "suspended"], ["review", "in review"], ["ended", "ended"], ["completed", "completed"], ["failed", "failed"], ["rejected", "rejected"], ["expired", "expired"], ["cancelled", "cancelled"]];

const took = (own) => (own.ended ? span(ms(own.ended) - ms(own.began)) : "");
const state = (own) => html`<${Status} of=${own.halted ? "halted" : own.status} />`;
const WORKFLOWS = [
  { name: "Status", cell: state },
  { name: "Workflow", class: "two", cell: (own) => html`<a class="strong" tabindex="-1" href=${chain(own.workflow)}><${Say} text=${own.goal} most=${160} /></a><span class="faint"><${Say} text=${own.needs[0] ?? (own.reason || (own.goal === own.capability ? own.workflow : own.capability))} most=${160} /></span>` },
  { name: "Agent", class: "opt", cell: (own) => html`<${Say} text=${own.agent || "–"} most=${80} />` },
  { name: "Tasks", class: "right opt", cell: (own) => count(own.tasks) },
  { name: "Failures", class: "right opt", cell: (own) => (own.failures ? html`<span class="bad">${count(own.failures)}</span>` : html`<span class="faint">0</span>`) },
  { name: "Cost", class: "right", cell: (own) => money(own.cost.micro_usd) },
  { name: "Began", class: "right opt", cell: (own) => html`<${Time} at=${own.began} />` },
  { name: "Took", class: "right opt", cell: took },
];
const TASKS = [
  { name: "Status", cell: state },
  { name: "Task", class: "two", cell: (own) => html`<a class="strong" tabindex="-1" href=${chain(own.workflow)}><${Say} text=${own.capability} most=${160} /></a><span class="faint"><${Say} text=${own.needs[0] ?? (own.reason || `for ${own.caller || "outside"}`)} most=${160} /></span>` },
  { name: "Agent", class: "opt", cell: (own) => html`<${Say} text=${own.agent || "–"} most=${80} />` },
  { name: "Attempt", class: "right opt", cell: (own) => count(own.attempt) },
  { name: "Workflow", class: "opt mono", cell: (own) => plain(short(own.workflow)) },
  { name: "Cost", class: "right", cell: (own) => money(own.cost.micro_usd) },
  { name: "Began", class: "right opt", cell: (own) => html`<${Time} at=${own.began} />` },
  { name: "Took", class: "right opt", cell: took },
];

export function Tasks() {
  const { status = "", failing = "", needs = "", capability = "", agent = "", text = "", level = "", workflow = "" } = place.value.params;
  const deep = level === "tasks" || workflow !== "";
  const params = { status, failing, needs, capability, agent, text, ...(deep ? { workflow } : {}) };
  const list = useChunks(deep ? "/tasks" : "/workflows", params, [pulse, resets]);
  const get = (index) => {
    const own = list.get(index);
    return own && !deep ? (row(own.workflow) ?? own) : own; // what was told since it was asked for
  };
  return html`<${Heading} aside=${html`<${Views} name="level" label="What is listed" options=${[["workflows", "Workflows"], ["tasks", "Every task"]]} />`}>Tasks<//>
    <div class="filters bar-of-filters" role="search">
      <${Search} name="text" label="Goal, reason or id" wide /><${Select} name="status" label="Status" options=${STATUSES} /><${Search} name="capability" label="Capability" /><${Search} name="agent" label="Agent" />
      <${Check} name="failing" label="Failed only" /><${Check} name="needs" label="Waits for a person" /><${Total} total=${list.total} one=${deep ? "task" : "workflow"} />
    </div>
    <${Problem} problem=${list.problem} />
    ${list.total === 0 ? html`<${Empty}>${Object.values(params).some(Boolean) ? "Nothing fits these filters." : html`Nothing was asked for yet. Submit a task: <code>mesh submit CAPABILITY INPUT</code>`}<//>` : html`<${Rows} label=${deep ? "Tasks" : "Workflows"} columns=${deep ? TASKS : WORKFLOWS} total=${list.total ?? 0} get=${get} need=${list.need} to=${(own) => chain(own.workflow)} height=${50} of=${list.key} />`}`;
}
