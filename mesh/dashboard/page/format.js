// Figures, times and strangers' texts as a person reads them.

const MICRO = 1e6;
const UNITS = [
  ["tokens", "token", "tokens"],
  ["tool_calls", "call", "calls"],
  ["hops", "hop", "hops"],
  ["attempts", "further attempt", "further attempts"],
];
// Control characters, marks that turn the direction of writing, marks without width, broken halves
// of pairs: whoever writes them must not be able to make a text look like another.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const whole = new Intl.NumberFormat("en");

export const count = (number) => whole.format(number);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// A stranger's text: what cannot be seen is named, and too much is cut.
export function plain(text, most = 2000) {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(HIDDEN, (own) => `⟨U+${own.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// Dollars, exact, with at least two digits behind the point.
export function money(micro) {
  const text = (Math.abs(micro) / MICRO).toFixed(6).replace(/0{1,4}$/, "");
  const [head, tail] = text.split(".");
  return `${micro < 0 ? "−" : ""}$${whole.format(Number(head))}.${tail}`;
}

// Dollars rounded to cents, for a sum at a glance.
export const sum = (micro) => (micro > 0 && micro < 5000 ? money(micro) : `$${(micro / MICRO).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`);

// The dimensions of an amount that are not zero.
export function amount(value) {
  const parts = value.micro_usd ? [money(value.micro_usd)] : [];
  for (const [name, one, many] of UNITS) if (value[name]) parts.push(plural(value[name], one, many));
  return parts.join(", ") || "nothing";
}

export const DIMENSIONS = [["micro_usd", "money"], ["tokens", "tokens"], ["tool_calls", "calls"], ["hops", "hops"], ["attempts", "further attempts"]];

export function span(ms) {
  if (ms < 0) return `−${span(-ms)}`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(ms / 1000) % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const ms = (at) => (at === null || at === undefined ? null : Date.parse(at));
const two = (number) => String(number).padStart(2, "0");

// The time of day where the reader is; a day before today's is named.
export function clock(at, exact = false) {
  const time = new Date(at);
  const day = Date.now() - time > 20 * 3_600_000 ? `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ` : "";
  const rest = exact ? `.${String(time.getMilliseconds()).padStart(3, "0")}` : "";
  return `${day}${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}${rest}`;
}

export function ago(at, now) {
  const past = now - ms(at);
  return past < 1500 ? "just now" : `${span(Math.floor(past / 1000) * 1000).replace(/\.\d+/, "")} ago`;
}

// The part of an id that tells it from others at a glance.
export const short = (id) => (id.length > 12 ? `${id.slice(0, 10)}…` : id);
export const percent = (share) => `${Math.round(share * 100)} %`;
