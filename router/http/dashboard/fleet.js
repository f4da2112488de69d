// The two pools, each member with its blocks, and what flows between them.

import { bytes, draw, make, ms, number, share } from "./words.js";

const STATES = [
  ["owned", "in use"], ["sealed", "lent"], ["cached", "prefix cache"], ["quarantined", "quarantine"], ["free", "free"],
];

export function showLegend(place) {
  place.replaceChildren(...STATES.map(([state, words]) => make("li", {}, make("i", { class: state }), words)));
}

export function showPools(places, members) {
  for (const [role, place] of Object.entries(places)) {
    const found = members.filter((member) => member.role === role);
    const none = make("p", { class: "none" }, `no ${role} member`);
    place.replaceChildren(...(found.length ? found.map(card) : [none]));
  }
}

export function showWire(place, rates, handoffs) {
  const used = Object.entries(handoffs).filter(([, handoff]) => handoff.count);
  const exposed = used.map(([name, handoff]) => make("span", {}, `${name}: ${ms(handoff.exposed_ms.p50)} exposed`));
  place.replaceChildren(
    make("span", {}, "hand-off"), make("b", {}, `${bytes(rates.handoff_bytes_per_s)}/s`), arrow(), ...exposed.flatMap((said) => [said, make("br")]),
  );
}

function arrow() {
  return draw("svg", { viewBox: "0 0 100 18", "aria-hidden": "true" }, draw("path", {
    d: "M2 9H92M84 2L93 9L84 16", fill: "none", stroke: "currentColor", "stroke-width": 2,
  }));
}

function card(member) {
  const facts = [
    ["running", `${member.running} of ${member.max_sequences}`],
    ["waiting", number(member.waiting)],
    ["step", ms(member.step_ms)],
    ["outside kernels", share(member.outside_kernels_share)],
    ["prefix hits", share(member.prefix_hit_share)],
    member.role === "prefill"
      ? ["speed", `${number(member.prefill_tokens_per_s)} tok/s`]
      : ["pre-empted", number(member.preemptions)],
  ];
  return make("article", { class: `member ${member.role}`, role: "listitem", "aria-label": `${member.role} member ${member.name}` },
    make("h3", {}, member.name, make("span", {}, standing(member))),
    bar(member),
    make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
  );
}

function standing(member) {
  const heard = member.silence_ms > 1500 ? `, silent for ${ms(member.silence_ms)}` : "";
  return `${member.state}${heard} · KV ${share(member.used_share)}`;
}

function bar(member) {
  const { total, ...blocks } = member.blocks;
  const said = STATES.map(([state, words]) => `${words} ${blocks[state]}`).join(", ");
  const parts = STATES.map(([state, words]) => {
    const part = make("i", { class: state, title: `${words}: ${number(blocks[state])} blocks` });
    part.style.width = `${(100 * blocks[state]) / (total || 1)}%`;
    return part;
  });
  return make("div", { class: "blocks", role: "img", "aria-label": `of ${total} blocks: ${said}` }, ...parts);
}
