// Where the reader is: the path and the filters in the address, so that every view can be sent to
// somebody, and the browser's own keys lead back.

import { signal } from "./dom.js";

const read = () => ({ path: location.pathname, params: Object.fromEntries(new URLSearchParams(location.search)) });

export const place = signal(read());

export function address(path, params = {}) {
  const kept = Object.entries(params).filter(([, own]) => own !== "" && own !== undefined && own !== null && own !== false);
  const query = new URLSearchParams(kept.map(([name, own]) => [name, String(own)])).toString();
  return query ? `${path}?${query}` : path;
}

export function go(to) {
  history.pushState(null, "", to);
  const before = place.value.path;
  place.value = read();
  if (place.value.path !== before) arrive();
}

// Change some filters of this page; "" takes one away.
export function narrow(changes) {
  const { path, params } = place.value;
  history.replaceState(null, "", address(path, { ...params, ...changes }));
  place.value = read();
}

// Who uses a keyboard or a screen reader is taken to the heading of the new page, which may come
// later than the page does; who has gone on by then is left alone.
let arriving = false;

function arrive() {
  arriving = true;
  requestAnimationFrame(() => {
    scrollTo(0, 0);
    greet(document.querySelector("h1"), true);
  });
}

export function greet(heading, atOnce = false) {
  if (!arriving || !heading) return;
  arriving = false;
  if (atOnce || document.activeElement === document.body) heading.focus({ preventScroll: true });
}

export const chain = (workflow, params = {}) => address("/chain", { workflow, ...params });
export const record = (where) => address("/audit", { record: where });
export const agent = (name) => address("/registry", { agent: name });

addEventListener("popstate", () => {
  const before = place.value.path;
  place.value = read();
  if (place.value.path !== before) arrive();
});

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.target || link.hash || link.pathname.startsWith("/api/") || link.pathname === "/login") return;
  event.preventDefault();
  go(link.href);
});
