// The audit stream itself: what is told, judged, as it comes; and one record as it stands in the log.

import { ask, useAsked } from "../api.js";
import { Asked, Empty, Heading, Loading, Panel, Problem, Rows, Say, Search, Select, Time } from "../bits.js";
import { html, useEffect, useRef, useState } from "../dom.js";
import { count, plain, plural } from "../format.js";
import { MAX_FACTS, me, position, pulse, resets, since } from "../live.js";
import { chain, place, record as toRecord } from "../place.js";

const KINDS = "TaskOpened BidsCalled TaskAwarded AwardDeclined StepBegun StepFinished SpendReserved SpendSettled DecisionRecorded LeaseRenewed WorkSuspended WorkFinished WorkCancelled ResultRejected CancelRequested TaskCompleted TaskFailed TaskRejected TaskExpired TaskCancelled SupervisionTaken SupervisionRenewed SupervisionReleased".split(" ");
const COUNTS = [["", "all"], ["yes", "what counts"], ["void", "void"], ["unknown", "not known"], ["unreadable", "unreadable"]];
const PART = 200;
const NEAR = 30; // rows before the end at which older ones are asked for

export function Audit() {
  const { record } = place.value.params;
  return record ? html`<${Record} key=${record} where=${record} />` : html`<${Stream} />`;
}

// --- as it comes

const verdict = (own) => (!own.readable ? "unreadable" : own.void === null ? "unknown" : own.void ? "void" : "yes");
const VERDICTS = { yes: html`<span class="faint">counts</span>`, void: html`<span class="tag warn">void</span>`, unknown: html`<span class="tag">not known</span>`, unreadable: html`<span class="tag bad">no fact</span>` };
const COLUMNS = [
  { name: "At", cell: (own) => html`<${Time} at=${own.at} />` },
  { name: "Kind", class: "opt", cell: (own) => own.kind || "–" },
  { name: "By", class: "opt", cell: (own) => html`<${Say} text=${own.instance || "–"} most=${100} />` },
  { name: "What it says", cell: (own) => html`<${Say} text=${own.void ? `${own.text} (void: ${own.void})` : own.text} most=${300} />` },
  { name: "Verdict", class: "opt", cell: (own) => VERDICTS[verdict(own)] },
  { name: "Where", class: "right", cell: (own) => html`<a class="where" tabindex="-1" href=${toRecord(own.where)}>${own.where}</a>` },
];

function fits(own, { kind, workflow, task, instance, text, counts }) {
  const low = text.toLowerCase();
  return (!kind || own.kind === kind) && (!workflow || own.workflow === workflow) && (!task || own.task === task) && own.instance.startsWith(instance) && (!counts || verdict(own) === counts) && (!low || own.text.toLowerCase().includes(low) || own.instance.toLowerCase().includes(low));
}

// The facts that fit the filters, the newest first: those that were asked for, and those told since.
function useFacts(filters, paused) {
  const key = JSON.stringify(filters);
  const [, redraw] = useState(0);
  const store = useRef(null);
  const again = resets.value;
  if (store.current?.key !== key || store.current.again !== again) {
    store.current?.control.abort();
    store.current = { key, again, items: [], known: new Set(), next: "", from: position(), loaded: false, busy: false, problem: null, control: new AbortController() };
  }
  const own = store.current;
  const load = (before) => {
    if (own.busy) return;
    own.busy = true;
    ask("/audit", { ...filters, before, limit: PART }, own.control.signal).then(
      (data) => {
        for (const fact of data.items) if (!own.known.has(fact.where)) { own.known.add(fact.where); own.items.push(fact); }
        Object.assign(own, { next: own.items.length < MAX_FACTS ? data.next : "", busy: false, loaded: true, problem: null });
        redraw((old) => old + 1);
      },
      (problem) => { if (problem.name !== "AbortError") { Object.assign(own, { busy: false, loaded: true, problem }); redraw((old) => old + 1); } },
    );
  };
  useEffect(() => { load(""); }, [key, again]);
  useEffect(() => () => store.current.control.abort(), []);
  pulse.value;
  if (own.loaded && !paused) {
    const fresh = [];
    for (const fact of since(own.from)) if (!own.known.has(fact.where) && fits(fact, filters)) fresh.push(fact);
    own.from = position();
    if (fresh.length) {
      for (const fact of fresh) own.known.add(fact.where);
      own.items = [...fresh.reverse(), ...own.items];
      if (own.items.length > MAX_FACTS) {
        for (const fact of own.items.splice(MAX_FACTS)) own.known.delete(fact.where);
        own.next = "";
      }
    }
  }
  own.more = () => { if (own.next) load(own.next); };
  return own;
}

function Stream() {
  const { kind = "", workflow = "", task = "", instance = "", text = "", counts = "" } = place.value.params;
  const filters = { kind, workflow, task, instance, text, counts };
  const [paused, setPaused] = useState(false);
  const facts = useFacts(filters, paused);
  const waiting = paused ? position() - facts.from : 0;
  const need = (_, last) => { if (last > facts.items.length - NEAR) facts.more(); };
  const told = paused ? `Paused${waiting ? `; ${plural(waiting, "fact")} since` : ""}` : `${plural(facts.items.length, "fact")}${facts.next ? ", older ones as you scroll" : ""}`;
  return html`<${Heading} aside=${html`<button type="button" class="plain" aria-pressed=${paused ? "true" : "false"} onClick=${() => setPaused(!paused)}>${paused ? "Resume" : "Pause"}</button>`}>Audit<//>
    <div class="filters bar-of-filters" role="search"><${Search} name="text" label="A part of the sentence" wide /><${Select} name="kind" label="Kind" options=${[["", "any"], ...KINDS.map((own) => [own, own])]} /><${Select} name="counts" label="Verdict" options=${COUNTS} /><${Search} name="instance" label="Instance begins with" /><${Search} name="workflow" label="Workflow" /></div>
    <p class="lead" role="status">${told}</p>
    <${Problem} problem=${facts.problem} />
    ${!facts.loaded ? html`<${Loading} />` : facts.items.length === 0 ? html`<${Empty}>${Object.values(filters).some(Boolean) ? "Nothing at hand fits these filters." : "The audit stream is empty."}<//>` : html`<${Rows} label="The audit stream, the newest first" columns=${COLUMNS} total=${facts.items.length} get=${(index) => facts.items[index]} need=${need} to=${(own) => toRecord(own.where)} height=${38} of=${JSON.stringify(filters)} />`}`;
}

// --- one record

function Record({ where }) {
  const [partition, offset] = where.split("/");
  const good = /^\d{1,7}\/\d{1,19}$/.test(where);
  const allowed = !me.value || me.value.roles.includes("auditor");
  const asked = useAsked(good && allowed ? `/audit/${partition}/${offset}` : "");
  const at = Number(offset);
  const around = html`<span class="filters">${at > 0 && html`<a href=${toRecord(`${partition}/${at - 1}`)}>Before</a>`}<a href=${toRecord(`${partition}/${at + 1}`)}>After</a><a href="/audit">The stream</a></span>`;
  return html`<${Heading} aside=${around}>Record <span class="mono">${plain(where, 40)}</span><//>
    ${!good ? html`<p class="note bad" role="alert">A place is written PARTITION/OFFSET.</p>` : !allowed ? html`<p class="note warn">Raw records are for auditors: you do not have that role.</p>` : html`<${Asked} of=${asked}>${(data) => html`<${Shown} data=${data} />`}<//>`}`;
}

function Shown({ data }) {
  const { fact } = data;
  return html`<p class="lead"><${Say} text=${data.text} most=${4000} /></p>
    <dl class="facts"><div><dt>Kind</dt><dd>${data.kind || "no fact"}</dd></div><div><dt>Appended</dt><dd><${Time} at=${data.at} exact /></dd></div><div><dt>Bytes</dt><dd>${count(data.bytes)}</dd></div><div><dt>Number of its author's</dt><dd>${count(data.sequence)}</dd></div>
      ${fact?.workflow && html`<div><dt>Workflow</dt><dd><a class="mono" href=${chain(fact.workflow)}><${Say} text=${fact.workflow} most=${60} /></a></dd></div>`}</dl>
    <${Panel} title="Verify"><${Verified} data=${data} /><//>
    <${Panel} title="Every field"><pre tabindex="0">${fact ? plain(JSON.stringify(fact, null, 2), 300_000) : "It could not be read as a fact."}</pre><//>
    <${Panel} title="Headers and key"><dl class="headers"><div><dt>key</dt><dd class="mono"><${Say} text=${data.key ?? "none"} /></dd></div>${data.headers.map((own) => html`<div key=${own.name}><dt><${Say} text=${own.name} most=${80} /></dt><dd class="mono"><${Say} text=${own.value} most=${1000} /></dd></div>`)}</dl><//>
    <${Panel} title="The bytes"><pre tabindex="0">${data.base64}</pre><//>`;
}

// The bytes' hash is made here, anew; the chain over all records is checked by the command.
function Verified({ data }) {
  const [made, setMade] = useState(null);
  useEffect(() => {
    if (!crypto.subtle) return;
    const bytes = Uint8Array.from(atob(data.base64), (own) => own.charCodeAt(0));
    crypto.subtle.digest("SHA-256", bytes).then((own) => setMade([...new Uint8Array(own)].map((one) => one.toString(16).padStart(2, "0")).join("")));
  }, [data]);
  const agrees = made === data.sha256;
  return html`<p role="status">${!crypto.subtle ? "This browser makes no hashes on an unencrypted connection." : made === null ? "Making the hash of the bytes…" : agrees ? html`<span class="status good">✓ The bytes shown here have the SHA-256 that the server states.</span>` : html`<strong class="bad">✕ The bytes shown here have another SHA-256: ${made}</strong>`}</p>
    <dl class="headers"><div><dt>SHA-256</dt><dd class="mono">${plain(data.sha256)}</dd></div><div><dt>Hash of the fact before, by the same author</dt><dd class="mono">${plain(data.previous) || "none: its first"}</dd></div><div><dt>Hash of this one</dt><dd class="mono">${plain(data.chain_hash)}</dd></div></dl>
    <p class="foot">Every chain of hashes, and every other invariant of the whole stream: <code>mesh audit check</code></p>`;
}
