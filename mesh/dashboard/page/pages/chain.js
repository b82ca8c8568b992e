// One workflow, told: in sentences, as a list, as a tree, along time. Each part has its evidence.

import { Cancel, Halt, Lift } from "../act.js";
import { useAsked } from "../api.js";
import { Asked, Heading, Icon, Panel, Problem, Say, Status, Table, Time, Views, Where } from "../bits.js";
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { amount, clock, count, money, ms, percent, plain, plural, short, span } from "../format.js";
import { changed, pulse, resets, row } from "../live.js";
import { agent as toAgent, address, place } from "../place.js";
import { Gantt } from "./gantt.js";

const VIEWS = [["story", "Story"], ["list", "List"], ["tree", "Tree"], ["time", "Timeline"]];
const BOOKKEEPING = new Set(["SpendReserved", "SpendSettled", "StepBegun", "LeaseRenewed"]);
const PART = 250; // sentences that are drawn before one asks for more
const TONES = {
  TaskOpened: ["busy", "M2.5 8h10M9 4.5 12.5 8 9 11.5"],
  TaskAwarded: ["busy", "M2.5 8h10M9 4.5 12.5 8 9 11.5"],
  BidsCalled: ["busy", "M3 12.5h10M5 12.5 9.5 4M7.5 3 11.5 5"],
  WorkFinished: ["good", "M3.5 8.5l3 3 6-7"],
  TaskCompleted: ["good", "M2 8.5l3 3 5-7M8 11l.5.5 5-7"],
  ResultRejected: ["warn", "M6 4 2.5 7.5 6 11M2.5 7.5H10c4 0 4 5 0 5"],
  WorkSuspended: ["warn", "M5.5 3v10M10.5 3v10"],
  CancelRequested: ["warn", "M4 4l8 8M12 4l-8 8"],
  WorkCancelled: ["warn", "M4 4l8 8M12 4l-8 8"],
  AwardDeclined: ["warn", "M3 8h10"],
  TaskFailed: ["bad", "M4 4l8 8M12 4l-8 8"],
  TaskRejected: ["bad", "M4 4l8 8M12 4l-8 8"],
  TaskExpired: ["bad", "M4 2.5h8M4 13.5h8M5 2.5c0 6 6 5 6 11M11 2.5c0 6-6 5-6 11"],
  TaskCancelled: ["bad", "M4 4l8 8M12 4l-8 8"],
  DecisionRecorded: ["busy", "M8 2.5 13.5 8 8 13.5 2.5 8z"],
};
const DOT = ["", "M8 7.5a.5.5 0 1 0 .01 0"];

export function Chain() {
  const { workflow, view = "story" } = place.value.params;
  const news = useNews(workflow);
  const asked = useAsked(workflow ? `/workflows/${encodeURIComponent(workflow)}` : "", {}, [news, resets, changed.halts]);
  const shown = useMemo(() => asked.data && html`<${Told} data=${asked.data} view=${view} />`, [asked.data, view]);
  if (!workflow) return html`<${Heading}>No workflow is named<//><p><a href="/tasks">Choose one among the tasks</a></p>`;
  return html`<${Asked} of=${asked}>${() => shown}<//>`;
}

// Moves when there are facts of this workflow. The server's rows say when: one word for each change.
function useNews(workflow) {
  const seen = useRef({ at: "", number: 0 });
  pulse.value;
  const own = row(workflow);
  const at = own ? `${own.latest}${own.status}${own.tasks}${own.cost.micro_usd}` : "";
  if (at !== seen.current.at) seen.current = { at, number: seen.current.number + 1 };
  return { value: seen.current.number };
}

// Every task with its depth, in the order of the story's tree.
function every(root) {
  const found = [];
  const walk = (task, depth) => {
    found.push({ task, depth });
    for (const step of task.steps) if (step.task) walk(step.task, depth + 1);
  };
  walk(root, 0);
  return found;
}

function Told({ data, view }) {
  const { story } = data;
  const tasks = useMemo(() => every(story.root), [data]);
  const named = story.goal && story.goal !== story.capability;
  return html`<${Heading} aside=${html`<div class="filters"><${Orders} data=${data} /><${Views} name="view" label="Told as" options=${VIEWS} /></div>`}><${Say} text=${named ? story.goal : story.capability} most=${160} /><//>
    ${!data.whole && html`<p class="note warn"><strong>This story may lack its beginning.</strong> What it rests on is no longer in the log, which now begins at <span class="mono">${data.partition}/${data.low}</span>.</p>`}
    ${data.halts.map((own) => html`<p key=${own.target} class="note warn"><strong>Halted:</strong> <${Say} text=${own.target} /> since <${Time} at=${own.since} />, because <${Say} text=${own.because} /></p>`)}
    <dl class="facts">
      <div><dt>Status</dt><dd><${Status} of=${story.status} /></dd></div>
      <div><dt>Capability</dt><dd><${Say} text=${story.capability} most=${80} /></dd></div>
      <div><dt>Took</dt><dd>${span(story.duration_ms)}</dd></div>
      <div><dt>Cost</dt><dd>${money(story.cost.micro_usd)} <span class="faint">of ${money(story.root.grant.micro_usd)}</span></dd></div>
      <div><dt>Tasks</dt><dd>${count(story.tasks)}</dd></div>
      <div><dt>Began</dt><dd><${Time} at=${story.began} /></dd></div>
      <div><dt>Workflow</dt><dd class="mono" title=${plain(story.workflow)}>${plain(short(story.workflow))}</dd></div>
    </dl>
    ${story.reason && html`<p class=${`note ${story.status === "completed" ? "" : "bad"}`}><strong>Why:</strong> <${Say} text=${story.reason} most=${2000} /></p>`}
    ${story.constraints.length > 0 && html`<p class="lead">Under the constraints: ${story.constraints.map((own) => html`<${Say} key=${own} text=${own} /> `)}</p>`}
    ${view === "list" ? html`<${List} tasks=${tasks} />` : view === "tree" ? html`<${Panel} title="Tasks and their steps"><div class="tree"><${Branch} task=${story.root} workflow=${story.workflow} open=${true} /></div><//>` : view === "time" ? html`<${Gantt} tasks=${tasks} now=${ms(story.began) + story.duration_ms} />` : html`<${Story} data=${data} tasks=${tasks} />`}
    ${story.void.length > 0 && html`<${Void} items=${story.void} />`}
    ${story.result !== null && view === "story" && html`<${Panel} title="The result"><pre tabindex="0">${plain(JSON.stringify(story.result, null, 2), 20_000)}</pre><//>`}`;
}

function Orders({ data }) {
  const { story, halts } = data;
  if (story.ended) return null;
  const target = `workflow/${story.workflow}`;
  const halted = halts.some((own) => own.target === target);
  return html`${halted ? html`<${Lift} target=${target} />` : html`<${Halt} target=${target} />`}<${Cancel} workflow=${story.workflow} />`;
}

// --- in sentences

function Story({ data, tasks }) {
  const [all, setAll] = useState(false);
  const [most, setMost] = useState(PART);
  const known = useMemo(() => new Map(tasks.map((own) => [own.task.task, own])), [tasks]);
  const awards = useMemo(() => new Map(tasks.flatMap((own) => own.task.awards.map((award) => [award.where, { award, task: own.task }]))), [tasks]);
  const lines = all ? data.lines : data.lines.filter((own) => !BOOKKEEPING.has(own.kind));
  const began = ms(data.story.began);
  const more = useRef(null);
  useEffect(() => {
    if (!more.current) return undefined;
    const seen = new IntersectionObserver((own) => { if (own.some((one) => one.isIntersecting)) setMost((old) => old + PART); });
    seen.observe(more.current);
    return () => seen.disconnect();
  }, [most < lines.length]);
  const box = html`<label class="check aside"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /><span>with the bookkeeping</span></label>`;
  return html`<${Panel} title="What happened" aside=${box}>
    <ol class="story">${lines.slice(0, most).map((own) => html`<${Line} key=${own.where} line=${own} depth=${known.get(own.task)?.depth ?? 0} began=${began} given=${awards.get(own.where)} />`)}</ol>
    ${lines.length > most && html`<p class="foot" ref=${more}><button type="button" class="plain" onClick=${() => setMost(most + PART)}>Show more of ${plural(lines.length, "sentence")}</button></p>`}
    ${data.lines_left_out > 0 && html`<p class="foot">${plural(data.lines_left_out, "sentence")} left out here: <code>mesh trace ${plain(data.story.workflow)}</code> tells them all.</p>`}
  <//>`;
}

function Line({ line, depth, began, given }) {
  const [tone, path] = TONES[line.kind] ?? DOT;
  const failed = line.kind === "WorkFinished" && !/ finishes /.test(line.text);
  const minor = BOOKKEEPING.has(line.kind) || line.kind === "StepFinished";
  const after = ms(line.at) - began;
  const offset = depth ? `d${Math.min(6, depth)}` : "";
  return html`<li class=${`line-of ${failed ? "bad" : tone} ${minor ? "minor" : ""} ${offset}`}>
    <time dateTime=${line.at} title=${line.at}>${after === 0 ? clock(line.at) : `+${span(after)}`}</time>
    <${Icon} path=${failed ? TONES.TaskFailed[1] : path} />
    <div class="said"><${Sentence} text=${line.text} who=${line.who} />
      ${line.evidence.length > 0 && html`<p class="more">It rests on ${line.evidence.slice(0, 6).map((own, index) => html`${index ? ", " : ""}<${Say} key=${own} text=${own} most=${48} class="mono" />`)}${line.evidence.length > 6 ? ` and ${count(line.evidence.length - 6)} more` : ""}</p>`}
      ${given && html`<${Handed} award=${given.award} task=${given.task} first=${line.kind === "TaskOpened"} />`}
    </div>
    <${Where} at=${line.where} label="evidence: record" /></li>`;
}

// Who a sentence is about stands out, where it begins with them.
function Sentence({ text, who }) {
  if (who && text.startsWith(who)) return html`<${Say} text=${who} most=${200} class="strong" /><${Say} text=${text.slice(who.length)} most=${2000} />`;
  return html`<${Say} text=${text} most=${2000} />`;
}

// What was handed down with a task: budget and time, the worker's scope, the bids and why one won.
function Handed({ award, task }) {
  const [open, setOpen] = useState(false);
  const bids = award.bids.filter((own) => !own.declined).length;
  const label = award.bids.length ? `What was handed down, and ${plural(award.bids.length, "answer")} to the call` : "What was handed down";
  return html`<details class="more" onToggle=${(event) => setOpen(event.target.open)}><summary>${label}</summary>${open && html`<div class="handed"><dl>
      <dt>Budget</dt><dd>${amount(task.grant)}</dd>
      <dt>Used of it</dt><dd>${amount(task.cost)}</dd>
      <dt>Until</dt><dd><${Time} at=${task.deadline} /></dd>
      <dt>Decided</dt><dd>${award.mode}: <${Say} text=${award.why} most=${600} /></dd>
      <dt>Attempt</dt><dd>${count(award.attempt)}${award.reason ? html`, because <${Say} text=${award.reason} />` : ""}</dd>
      <dt>Went to</dt><dd><${Say} text=${award.instance} most=${120} class="mono" /></dd>
      <${Scope} agent=${award.agent} />
    </dl>${award.bids.length > 0 && html`<${Bids} award=${award} made=${bids} />`}</div>`}</details>`;
}

const NOTHING = html`<span class="faint">nothing</span>`;
const Names = ({ of }) => (of.length ? of.map((own, index) => html`${index ? ", " : ""}<${Say} key=${own} text=${own} most=${80} />`) : NOTHING);

function Scope({ agent }) {
  const { data, problem } = useAsked(`/agents/${encodeURIComponent(agent)}`);
  const card = data?.card;
  const link = html`<a href=${toAgent(agent)}><${Say} text=${agent} most=${80} /></a>`;
  if (!card) return html`<dt>Scope</dt><dd>${problem || data ? html`${link} has no card now` : "…"}</dd>`;
  return html`<dt>Scope of ${link}</dt><dd>asks for <${Names} of=${card.calls} />; reads <${Names} of=${card.reads} />; writes <${Names} of=${card.writes} />; tools <${Names} of=${card.tools} /> <span class="faint">(its card, version <${Say} text=${card.version} most=${30} />, as it is now)</span></dd>`;
}

function Bids({ award }) {
  const ranked = [...award.bids].sort((a, b) => Boolean(a.declined) - Boolean(b.declined) || b.score - a.score);
  return html`<${Table} label="Bids that were considered" heads=${["Candidate", ["Score", "right"], ["Price", "right"], ["Time", "right opt"], ["Confidence", "right opt"], ["Standing", "right opt"], ["Outcome", "right"]]}>
    ${ranked.map((own) => {
      const won = !own.declined && own.instance === award.instance;
      return html`<tr key=${own.instance} class=${won ? "won" : ""}><td><${Say} text=${own.agent} most=${80} /></td>
        ${own.declined ? html`<td colspan="6">declined: <${Say} text=${own.declined} /></td>` : html`<td class="right">${count(own.score)}</td><td class="right">${money(own.price_micro_usd)}</td><td class="right opt">${span(own.eta_ms)}</td><td class="right opt">${percent(own.confidence)}</td><td class="right opt">${percent(own.standing)}</td><td class="right">${won ? "won" : ""}</td>`}</tr>`;
    })}<//>`;
}

// --- as a list, as a tree

function took(task) {
  return task.ended ? span(ms(task.ended) - ms(task.began)) : "open";
}

function List({ tasks }) {
  return html`<${Panel} title="Tasks"><${Table} label="Tasks of this workflow" heads=${["Capability", "Agent", "Status", ["Attempts", "right opt"], ["Cost", "right"], ["Of", "right opt"], ["Took", "right"], ["Record", "right"]]}>
    ${tasks.map(({ task, depth }) => html`<tr key=${task.task}><td><span style=${{ paddingLeft: `${depth * 16}px` }}><${Say} text=${task.capability} most=${80} /></span></td><td>${task.agent && html`<a href=${toAgent(task.agent)}><${Say} text=${task.agent} most=${80} /></a>`}</td><td><${Status} of=${task.status} /></td><td class="right opt">${count(task.awards.length ? task.awards[task.awards.length - 1].attempt : 0)}</td><td class="right">${money(task.cost.micro_usd)}</td><td class="right opt">${money(task.grant.micro_usd)}</td><td class="right">${took(task)}</td><td class="right"><${Where} at=${task.where} /></td></tr>`)}<//><//>`;
}

function Branch({ task, workflow, open }) {
  const children = task.steps.filter((own) => own.task);
  const small = children.length <= 12;
  return html`<details open=${open}><summary><span class="branch"><span class="strong"><${Say} text=${task.capability} most=${80} /></span><span><${Say} text=${task.agent || "nobody yet"} most=${80} /></span><${Status} of=${task.status} /><span class="figures">${money(task.cost.micro_usd)} of ${money(task.grant.micro_usd)} · ${took(task)}</span></span></summary>
    <ul>
      ${task.reason && html`<li class="steps">Because <${Say} text=${task.reason} most=${600} /></li>`}
      ${task.parked && html`<li class="steps warn">Parked: <${Say} text=${task.parked} most=${600} /></li>`}
      <li class="steps">${amount(task.grant)} handed down · <${Where} at=${task.where} /> · <${Why} workflow=${workflow} task=${task.task} /></li>
      ${task.steps.map((own) => own.task ? html`<li key=${own.step}><${Branch} task=${own.task} workflow=${workflow} open=${small} /></li>` : html`<li key=${own.step} class="steps">${own.kind} <span class="strong"><${Say} text=${own.name} most=${80} /></span> ${own.error ? html`<span class="bad">failed: <${Say} text=${own.error} /></span>` : html`<${Say} text=${own.text} most=${200} />`} ${own.tries > 1 ? `(${own.tries} tries) ` : ""}<${Where} at=${own.where} /></li>`)}
    </ul></details>`;
}

function Why({ workflow, task }) {
  const [wanted, setWanted] = useState(false);
  const asked = useAsked(wanted ? `/workflows/${encodeURIComponent(workflow)}/tasks/${encodeURIComponent(task)}/why` : "");
  if (!wanted) return html`<button type="button" class="link-like" onClick=${() => setWanted(true)}>why did it go so?</button>`;
  if (!asked.data) return asked.problem ? html`<${Problem} problem=${asked.problem} />` : "recomputing…";
  const { reasons, agrees } = asked.data;
  return html`<div class="handed"><p>${agrees ? "Recomputed from the log: everything agrees." : html`<strong class="bad">Recomputed from the log: something does not agree.</strong>`}</p><ul class="list">${reasons.map((own, index) => html`<li key=${index}><${Say} text=${own.text} most=${800} /> <span class="faint"><${Say} text=${own.rule} /></span> ${own.agrees === false && html`<span class="bad"><${Say} text=${own.disagreement} /></span>`}<${Where} at=${own.where} /></li>`)}</ul></div>`;
}

function Void({ items }) {
  return html`<${Panel} title="Recorded, and does not count"><ul class="list">${items.slice(0, 200).map((own) => html`<li key=${own.where}><span class="strong">${own.kind}</span> <span>by <${Say} text=${own.instance} most=${80} /></span><span class="faint"><${Say} text=${own.void} /></span><${Where} at=${own.where} /></li>`)}</ul>${items.length > 200 && html`<p class="foot"><a href=${address("/audit", { workflow: items[0].workflow, counts: "void" })}>${count(items.length)} in all</a></p>`}<//>`;
}
