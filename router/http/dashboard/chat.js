// One conversation over the same API that everyone uses, and where the time of its last answer went.

import { make, ms, number } from "./words.js";

const PARTS = [["queue_ms", "queue", "queue"], ["prefill_ms", "prefill", "prefilling"], ["handoff_ms", "hand-off", "handoff"], ["decode_ms", "decode", "decoding"]];

export class Chat {
  constructor(find) {
    this.talk = find("talk"), this.split = find("split"), this.message = find("message");
    this.send = find("send"), this.stop = find("stop");
    this.model = "";
    this.turns = [];
    this.going = null;
    find("ask").addEventListener("submit", (event) => { event.preventDefault(); this.ask(); });
    this.stop.addEventListener("click", () => this.going?.abort());
    find("fresh").addEventListener("click", () => this.restart());
    this.message.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ask();
    });
  }

  restart() {
    this.going?.abort();
    this.turns = [];
    this.talk.replaceChildren();
    this.split.hidden = true;
    this.message.focus();
  }

  async ask() {
    const content = this.message.value.trim();
    if (!content || this.going) return;
    this.message.value = "";
    this.turns.push({ role: "user", content });
    this.say("user", content);
    const turns = this.turns, going = (this.going = new AbortController());
    this.busy(true);
    const shown = this.say("assistant", "");
    let answer = "";
    try {
      for await (const chunk of this.chunks(turns, going.signal)) {
        const delta = chunk.choices?.[0]?.delta ?? {};
        if (delta.reasoning) this.think(shown, delta.reasoning);
        if (delta.content) shown.append(delta.content);
        answer += delta.content ?? "";
        if (chunk.timings) this.show(chunk.timings, chunk.usage);
        this.talk.scrollTop = this.talk.scrollHeight;
      }
    } catch (error) {
      if (!going.signal.aborted) this.say("wrong", error.message);
    }
    if (answer) turns.push({ role: "assistant", content: answer });
    else shown.remove();
    this.going = null;
    this.busy(false);
  }

  async *chunks(messages, signal) {
    const body = JSON.stringify({ model: this.model, messages, stream: true, stream_options: { include_usage: true } });
    const headers = { "content-type": "application/json" };
    const response = await fetch("v1/chat/completions", { method: "POST", headers, body, signal });
    if (!response.ok) throw new Error(await refusal(response));
    let held = "";
    for await (const text of texts(response.body)) {
      const events = (held + text).split("\n\n");
      held = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
        if (!data || data === "[DONE]") continue;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Error(chunk.error.message);
        yield chunk;
      }
    }
  }

  think(shown, text) {
    const before = shown.previousElementSibling;
    const thought = before?.classList.contains("thought") ? before : make("p", { class: "thought" });
    if (thought !== before) shown.before(thought);
    thought.append(text);
  }

  say(who, text) {
    const said = make("p", { class: who }, text);
    this.talk.append(said);
    this.talk.scrollTop = this.talk.scrollHeight;
    return said;
  }

  busy(is) {
    this.send.hidden = is;
    this.stop.hidden = !is;
    this.talk.setAttribute("aria-busy", is);
  }

  show(timings, usage) {
    const total = PARTS.reduce((sum, [name]) => sum + timings[name], 0) || 1;
    const bar = make("div", { class: "bar", "aria-hidden": "true" });
    for (const [name, , kind] of PARTS) {
      const part = make("i", { class: kind });
      part.style.width = `${(100 * timings[name]) / total}%`;
      bar.append(part);
    }
    const said = PARTS.map(([name, words, kind]) => make("li", {}, make("i", { class: kind }), `${words} ${ms(timings[name])}`));
    const count = usage?.completion_tokens ?? 0;
    const speed = count > 1 && timings.decode_ms > 0 ? `, ${number((1000 * (count - 1)) / timings.decode_ms, 1)} tokens/s` : "";
    this.split.replaceChildren(`First token after ${ms(timings.ttft_ms)}, all after ${ms(timings.total_ms)}${count ? `, ${count} tokens` : ""}${speed}.`, bar, make("ul", {}, ...said));
    this.split.hidden = false;
  }
}

async function* texts(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}

async function refusal(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `the router answered ${response.status}`;
  }
}
