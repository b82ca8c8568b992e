// What an operator orders: halt, lift, cancel. Each asks for a reason, and stands in the log under
// the person's name. Nothing is ordered by closing the question.

import { act } from "./api.js";
import { Say } from "./bits.js";
import { html, useEffect, useRef, useState } from "./dom.js";
import { plain } from "./format.js";
import { me } from "./live.js";

const MAX_REASON = 2000;

// title: the order in words; path, body: what is sent, beside the reason; done(answer): what became of it.
export function Act({ label, title, path, body = {}, done, danger = false }) {
  const [open, setOpen] = useState(false);
  if (!me.value?.roles.includes("operator")) return null;
  return html`<button type="button" class=${danger ? "plain danger" : "plain"} onClick=${() => setOpen(true)}>${label}</button>${open && html`<${Question} label=${label} title=${title} path=${path} body=${body} done=${done} onClose=${() => setOpen(false)} />`}`;
}

function Question({ label, title, path, body, done, onClose }) {
  const box = useRef(null);
  const [state, setState] = useState({ busy: false, problem: "", told: "" });
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.focus?.();
  }, []);
  const send = async (event) => {
    event.preventDefault();
    const because = new FormData(event.target).get("because").trim();
    if (!because) {
      setState({ busy: false, problem: "Say why: it stands in the log.", told: "" });
      return;
    }
    setState({ busy: true, problem: "", told: "" });
    try {
      setState({ busy: false, problem: "", told: done(await act(path, { ...body, because })) });
    } catch (error) {
      setState({ busy: false, problem: error.message, told: "" });
    }
  };
  const { busy, problem, told } = state;
  return html`<dialog ref=${box} aria-labelledby="act-title" onClose=${onClose}><form onSubmit=${send}>
    <h2 id="act-title"><${Say} text=${title} most=${300} /></h2>
    ${told ? html`<p role="status">${plain(told)}</p>` : html`<label class="field wide"><span>Because</span><textarea name="because" rows="3" maxlength=${MAX_REASON} required autofocus></textarea></label>
      <p class="faint">The log will have the reason, and the name <strong><${Say} text=${me.value.name} most=${100} /></strong>.</p>`}
    ${problem && html`<p class="note bad" role="alert"><${Say} text=${problem} /></p>`}
    <p class="buttons"><button type="button" class="plain" onClick=${() => box.current.close()}>${told ? "Close" : "Leave it"}</button>${!told && html`<button class="plain main" disabled=${busy}>${busy ? "…" : label}</button>`}</p>
  </form></dialog>`;
}

const ordered = (own) => `${own.target} is ${own.halted ? "halted" : "lifted"}.`;

export const Halt = ({ target }) => html`<${Act} label="Halt" title=${`Halt ${target}`} path="/halts" body=${{ target }} done=${ordered} danger />`;
export const Lift = ({ target }) => html`<${Act} label="Lift" title=${`Lift the halt of ${target}`} path="/lifts" body=${{ target }} done=${ordered} />`;
export const Cancel = ({ workflow }) => html`<${Act} label="Cancel" title=${`End the workflow ${workflow} in order`} path=${`/workflows/${encodeURIComponent(workflow)}/cancel`} done=${(own) => (own.ended ? `It has ended: ${own.status}.` : `It was asked to end; it is ${own.status}.`)} danger />`;
