// Asks for the fleet once a second while the page is seen, and hands the answer to those who show it.

import { Charts } from "./charts.js";
import { Chat } from "./chat.js";
import { showLegend, showPools, showWire } from "./fleet.js";
import { make, ms, number } from "./words.js";

const PAUSE_MS = 1000, PATIENCE_MS = 5000;
const find = (id) => document.getElementById(id);
const charts = new Charts(find("charts")), chat = new Chat(find);
let advised = "";

showLegend(find("legend"));
turn();

async function turn() {
  if (!document.hidden) await look();
  const wait = document.hidden ? new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true })) : pause();
  await wait;
  turn();
}

function pause() {
  return new Promise((done) => setTimeout(done, PAUSE_MS));
}

async function look() {
  try {
    const response = await fetch("fleet", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok) throw new Error(response.status === 401 || response.status === 403 ? "needs an admin key" : `answers ${response.status}`);
    show(await response.json());
  } catch (error) {
    state("wrong", `router ${error instanceof TypeError || error.name === "TimeoutError" ? "unreachable" : error.message}`);
  }
}

function show(fleet) {
  chat.model = fleet.model;
  find("model").textContent = fleet.model;
  state(fleet.ready ? "ready" : "", fleet.ready ? "ready" : "not ready");
  advise(fleet.all_advice);
  find("tiles").replaceChildren(...tiles(fleet));
  showPools({ prefill: find("prefill"), decode: find("decode") }, fleet.members);
  showWire(find("wire"), fleet.rates, fleet.handoffs);
  charts.show(fleet.history);
}

function state(kind, words) {
  const place = find("state");
  place.className = `state ${kind}`;
  if (place.textContent !== words) place.textContent = words;
}

// Only what changed is said again: a screen reader reads this aloud.
function advise(all) {
  const said = JSON.stringify(all);
  if (said === advised) return;
  advised = said;
  find("advice").replaceChildren(...all.map((advice) => make("p", { class: advice.urgency }, advice.text)));
}

function tiles(fleet) {
  const { latency, rates, requests } = fleet;
  const refused = Object.values(requests.refused).reduce((sum, count) => sum + count, 0);
  return [
    ["first token", ms(latency.ttft_ms.p50), `p99 ${ms(latency.ttft_ms.p99)}`],
    ["between tokens", ms(latency.itl_ms.p50), `p99 ${ms(latency.itl_ms.p99)}`],
    ["output", `${number(rates.output_tokens_per_s)} tok/s`, `${number(rates.prompt_tokens_per_s)} prompt tok/s`],
    ["requests", `${number(requests.running)} running`, `${number(requests.waiting)} waiting, ${number(rates.requests_per_s, 1)} end a second`],
    ["refused", number(refused), `${number(requests.retries)} retries since the start`],
  ].map(([name, value, more]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, more))));
}
