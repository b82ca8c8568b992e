// What every file of the page draws with, from the vendored modules.

import htm from "./vendor/htm.mjs";
import { h } from "./vendor/preact.mjs";

export { render, Fragment } from "./vendor/preact.mjs";
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.mjs";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect } from "./vendor/signals.mjs";

export const html = htm.bind(h);
