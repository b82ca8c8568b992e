// The frame around every page: where one can go, whether what is shown is fresh, light or dark.

import { Icon, Say } from "./bits.js";
import { html, render, signal, useEffect, useState } from "./dom.js";
import { clock, count } from "./format.js";
import { begin, lag, link, now, problem } from "./live.js";
import { place } from "./place.js";
import { Audit } from "./pages/audit.js";
import { Budgets } from "./pages/budgets.js";
import { Chain } from "./pages/chain.js";
import { Health } from "./pages/health.js";
import { Incidents } from "./pages/incidents.js";
import { Map as Picture } from "./pages/map.js";
import { Now } from "./pages/now.js";
import { Registry } from "./pages/registry.js";
import { State } from "./pages/state.js";
import { Tasks } from "./pages/tasks.js";

const PAGES = {
  "/": ["Now", Now, "M2.5 8h2.6l1.7-4.5 2.6 9 1.7-4.5h2.4"],
  "/map": ["Map", Picture, "M4.5 6a2 2 0 1 0-.01 0M12 5a2 2 0 1 0-.01 0M8.5 14.5a2 2 0 1 0-.01 0M6.3 3.9 9.9 3.3M5.2 5.8l2.4 4.9M11.3 4.9 9.2 10.7"],
  "/tasks": ["Tasks", Tasks, "M2.5 4h1M6 4h7.5M2.5 8h1M6 8h7.5M2.5 12h1M6 12h7.5"],
  "/budgets": ["Budgets", Budgets, "M8 2v12M11 4.6C9.6 3.2 5 3.3 5 5.7 5 8.6 11 7.2 11 10.3c0 2.6-4.8 2.6-6.3.9"],
  "/incidents": ["Incidents", Incidents, "M8 2.2 14.3 13.5H1.7zM8 6.5v3.3M8 11.6v.3"],
  "/registry": ["Registry", Registry, "M2.5 3.5h11v9h-11zM5 7.5h2.5M5 9.8h2.5M10 7.2v2.8"],
  "/state": ["State", State, "M2.5 4.2c0-2.3 11-2.3 11 0s-11 2.3-11 0v7.6c0 2.3 11 2.3 11 0V4.2M2.5 8c0 2.3 11 2.3 11 0"],
  "/audit": ["Audit", Audit, "M3.5 2h6l3 3v9h-9zM9.5 2v3h3M5.5 8h5M5.5 10.8h5"],
  "/health": ["Health", Health, "M8 13.5C2 9.5 1.5 6 3.5 4.2 5.3 2.7 7.3 3.8 8 5.5c.7-1.7 2.7-2.8 4.5-1.3 2 1.8 1.5 5.3-4.5 9.3z"],
};
const BESIDE = { "/chain": ["Chain", Chain, "/tasks"] };

// --- light or dark

const THEMES = ["auto", "light", "dark"];
const theme = signal(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
const wear = () => {
  if (theme.value === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme.value);
};
wear();

const LOOKS = { auto: ["as the system", "M8 2.5a5.5 5.5 0 1 0 .01 0M8 2.5v11"], light: ["light", "M8 5a3 3 0 1 0 .01 0M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13"], dark: ["dark", "M13.5 9.8A6 6 0 1 1 6.2 2.5a5 5 0 0 0 7.3 7.3z"] };

function Theme() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  const turn = () => {
    theme.value = next;
    localStorage.setItem("theme", next);
    wear();
  };
  const [name, path] = LOOKS[theme.value];
  return html`<button type="button" class="theme" onClick=${turn} aria-label=${`Colours: ${name}. Change to ${LOOKS[next][0]}`} title=${`Colours: ${name}`}><${Icon} path=${path} /></button>`;
}

// --- is it fresh?

const LINKS = { connecting: ["Connecting…", "quiet"], loading: ["Reading the log…", "busy"], live: ["Live", "good"], broken: ["Cut off; trying again…", "bad"] };

function Link() {
  const [text, tone] = LINKS[link.value];
  const told = link.value === "loading" && lag.value ? `Reading the log, ${count(lag.value)} to go…` : text;
  return html`<p class=${`link ${tone}`} role="status"><span class="lamp" aria-hidden="true"></span>${told}</p>`;
}

function Since() {
  const complete = now.value?.complete;
  if (!complete || complete.whole) return null;
  const from = complete.since ? html`since <time dateTime=${complete.since}>${clock(complete.since)}</time>` : "from where the reading began";
  return html`<p class="note warn"><strong>The story is complete ${from}.</strong> ${complete.trimmed ? "Retention has taken what was before" : "What was before was not read"}: workflows that began earlier may be missing or told in part.</p>`;
}

function Nav({ path }) {
  const marks = { "/incidents": now.value?.needs.total };
  return html`<nav aria-label="Pages"><ul>${Object.entries(PAGES).map(
    ([own, [name, , shape]]) => html`<li key=${own}><a href=${own} aria-current=${own === path ? "page" : undefined}><${Icon} path=${shape} /><span>${name}</span>${marks[own] ? html`<span class="mark"><span class="unseen">, waiting for a person: </span>${count(marks[own])}</span>` : null}</a></li>`,
  )}</ul></nav>`;
}

function App() {
  const { path } = place.value;
  const [name, Page, under] = PAGES[path] ?? BESIDE[path] ?? ["Not found", Nothing];
  const mesh = now.value?.mesh;
  useEffect(() => { document.title = `${name} · ${mesh ?? "Parley"}`; }, [name, mesh]);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>To the content</a>
    <header class="top"><a class="brand" href="/"><img src="/icon.svg" alt="" width="22" height="22" /><span>Parley</span></a>${mesh && html`<${Say} text=${mesh} most=${40} class="mesh" />`}<${Link} /><${Theme} /></header>
    <${Nav} path=${BESIDE[path] ? under : path} />
    <main id="main" tabindex="-1" class=${name.toLowerCase().replace(" ", "-")}>
      ${problem.value && html`<p class="note bad" role="alert"><strong>The dashboard does not answer.</strong> <${Say} text=${problem.value.message} /></p>`}
      <${Since} />
      <${Guard} key=${path}><${Page} /><//>
    </main>`;
}

const Nothing = () => html`<h1 tabindex="-1">There is no such page</h1><p><a href="/">What happens now</a></p>`;

// A defect in one page is told, and takes no other page along.
function Guard({ children }) {
  const [broken, setBroken] = useState(null);
  useEffect(() => {
    const take = (event) => setBroken(event.error ?? event.reason);
    addEventListener("error", take);
    return () => removeEventListener("error", take);
  }, []);
  return broken ? html`<h1 tabindex="-1">This page has a defect</h1><p class="note bad" role="alert"><${Say} text=${String(broken)} /></p>` : children;
}

render(html`<${App} />`, document.getElementById("app"));
begin();
