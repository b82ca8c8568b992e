// How far the reading is, what could not be read, and how this page itself does.

import { useAsked } from "../api.js";
import { Asked, Figure, Heading, Panel, Table, Time } from "../bits.js";
import { html } from "../dom.js";
import { count, ms, plural, span } from "../format.js";
import { changed, lag, link, now, pulse, resets, stats } from "../live.js";

const NAMES = { audit: "audit stream", incidents: "incidents", control: "halts", state: "shared state", dead_letters: "dead letters" };

export function Health() {
  const asked = useAsked("/health", {}, [pulse, resets, now, changed.state]);
  return html`<${Heading}>Health<//><${Asked} of=${asked}>${(data) => html`<${Shown} data=${data} />`}<//>`;
}

// A span in its largest unit: nobody waits for the seconds of an hour.
function coarse(given) {
  const [first, unit] = span(Math.max(0, Math.floor(given / 1000) * 1000)).replace(/\.\d+/, "").split(" ");
  return `${first} ${unit}`;
}

function Shown({ data }) {
  const bad = Object.entries(data.unreadable).filter(([, own]) => own);
  const all = (name) => data.partitions.reduce((total, own) => total + own[name], 0);
  const skew = Date.now() - ms(data.at);
  return html`<dl class="stats">
      <${Figure} label="Reading" value=${data.caught_up ? "caught up" : "behind"} note=${`${plural(data.lag, "record")} to go`} tone=${data.caught_up ? "" : "warn"} />
      <${Figure} label="Latest record" value=${data.behind_ms === null ? "–" : coarse(data.behind_ms)} note="ago, by the log's time" />
      <${Figure} label="Facts" value=${count(all("facts"))} note=${`${count(all("void"))} void`} />
      <${Figure} label="Unreadable" value=${count(bad.reduce((total, [, own]) => total + own, 0))} note=${bad.map(([name, own]) => `${count(own)} in ${NAMES[name] ?? name}`).join(", ") || "nothing"} tone=${bad.length ? "bad" : ""} />
      <${Figure} label="Pages" value=${count(data.pages)} note=${`${count(data.pages_dropped)} dropped as too slow`} />
      <${Figure} label="Clock" value=${Math.abs(skew) < 2000 ? "agrees" : span(Math.abs(skew))} note=${Math.abs(skew) < 2000 ? "with the server's" : skew > 0 ? "this one is ahead" : "this one is behind"} tone=${Math.abs(skew) < 2000 ? "" : "warn"} />
    </dl>
    <${Panel} title="Partitions of the audit stream"><${Table} label="Partitions" heads=${["Partition", ["In the log from", "right"], ["Read from", "right"], ["Since", "right opt"], ["Next", "right"], ["Lag", "right"], ["Facts", "right"], ["Void", "right"], ["Unreadable", "right opt"], ["Open tasks", "right opt"]]}>
      ${data.partitions.map((own) => html`<tr key=${own.partition}><th scope="row">${own.partition}</th><td class=${own.low ? "right warn" : "right"}>${count(own.low)}</td><td class=${own.first ? "right warn" : "right"}>${count(own.first)}</td><td class="right opt"><${Time} at=${own.first_at} /></td><td class="right">${count(own.next)}</td><td class="right">${count(own.lag)}</td><td class="right">${count(own.facts)}</td><td class="right">${count(own.void)}</td><td class="right opt">${count(own.unreadable)}</td><td class="right opt">${count(own.open_tasks)}</td></tr>`)}<//><//>
    <div class="columns even">
      <${Panel} title="The processor"><p class="lead-in">How far shared state has taken the proposed changes, by partition.</p>${data.state_partitions.length ? html`<${Table} label="Shared state by partition" heads=${["Partition", ["Taken through", "right"]]}>${data.state_partitions.map((own) => html`<tr key=${own.partition}><td>${own.partition}</td><td class="right">${count(own.through)}</td></tr>`)}<//>` : html`<p class="empty">It has written nothing yet.</p>`}<//>
      <div><${Panel} title="What is kept"><dl class="headers"><div><dt>tasks</dt><dd>${count(data.kept.tasks)}</dd></div><div><dt>workflows that had to go, and are read back when asked for</dt><dd>${count(data.kept.workflows_evicted)}</dd></div><div><dt>latest records</dt><dd>${count(data.kept.facts)}</dd></div><div><dt>keys of shared state</dt><dd>${count(data.kept.state_keys)}</dd></div><div><dt>keys left out</dt><dd>${count(data.kept.state_keys_left_out)}</dd></div></dl><//>
      <${Panel} title="This page"><${Own} /><//></div>
    </div>`;
}

function Own() {
  pulse.value;
  const rows = [["connection", link.value], ["facts told", count(stats.facts)], ["told twice, and dropped", count(stats.doubles)], ["times connected", count(stats.connects)], ["times it had to load again", count(stats.resets)], ["records the server had to go", count(lag.value)]];
  return html`<dl class="headers" id="own">${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
