// Lines over the last minutes, one small picture a question. Each is also said in words, for those who do not see it.

import { bytes, draw, make, ms, number, share } from "./words.js";

const HEIGHT = 130, LEFT = 58, BOTTOM = 18, TOP = 8;
const rate = (value) => (value === null ? "–" : number(value, value < 10 ? 1 : 0));

const CHARTS = [
  { title: "Time to first token", say: ms, lines: [["p50", "ttft_p50_ms"], ["p90", "ttft_p90_ms"], ["p99", "ttft_p99_ms"]] },
  { title: "Time between tokens", say: ms, lines: [["p50", "itl_p50_ms"], ["p90", "itl_p90_ms"], ["p99", "itl_p99_ms"]] },
  { title: "Output tokens a second", say: rate, lines: [["tokens/s", "output_tokens_per_s"]] },
  { title: "Requests", say: rate, lines: [["running", "running"], ["waiting", "waiting"]] },
  { title: "KV in use", say: share, top: 1, lines: [["decode", "decode_used_share"], ["prefill", "prefill_used_share"]] },
  { title: "Hand-off bandwidth", say: (value) => (value === null ? "–" : `${bytes(value)}/s`), lines: [["fetched", "handoff_bytes_per_s"]] },
];

export class Charts {
  constructor(place) {
    this.pictures = CHARTS.map((chart) => new Picture(chart));
    place.append(...this.pictures.map((picture) => picture.element));
  }

  show(history) {
    for (const picture of this.pictures) picture.show(history);
  }
}

class Picture {
  constructor(chart) {
    this.chart = chart;
    this.at = null;
    this.svg = draw("svg", { role: "img" });
    this.width = 330;
    this.key = make("ul", { class: "key" });
    this.element = make("div", { class: "chart" }, make("h3", {}, chart.title), this.svg, this.key);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.rest());
  }

  show(history) {
    this.history = history;
    this.render();
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const place = (event.clientX - box.left - LEFT) / (this.width - LEFT);
    this.at = Math.round(place * (this.count() - 1));
    this.at = Math.max(0, Math.min(this.count() - 1, this.at));
    this.render();
  }

  rest() {
    this.at = null;
    this.render();
  }

  count() {
    return this.history ? this.history[this.chart.lines[0][1]].length : 1;
  }

  render() {
    if (!this.history) return;
    this.width = this.svg.clientWidth || this.width;  // drawn to the pixel: nothing is stretched
    const series = this.chart.lines.map(([, name]) => this.history[name]);
    const top = this.chart.top ?? ceiling(Math.max(...series.flat().map((value) => value ?? 0)));
    const parts = [...this.scale(top), ...series.map((values, place) => this.line(values, top, place))];
    if (this.at !== null) {
      const x = this.x(this.at);
      parts.push(draw("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.svg.replaceChildren(...parts);
    this.legend(series);
  }

  scale(top) {
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      const y = this.y(part * top, top);
      parts.push(draw("line", { class: "grid", x1: LEFT, x2: this.width, y1: y, y2: y }));
      parts.push(draw("text", { class: "axis", x: LEFT - 6, y: y + 4, "text-anchor": "end" }, this.chart.say(part * top)));
    }
    const span = this.history.step_s * this.count();
    parts.push(draw("text", { class: "axis", x: LEFT, y: HEIGHT - 5 }, `${number(span / 60)} min ago`));
    parts.push(draw("text", { class: "axis", x: this.width, y: HEIGHT - 5, "text-anchor": "end" }, "now"));
    return parts;
  }

  line(values, top, place) {
    let path = "", open = false;
    values.forEach((value, at) => {
      if (value !== null) path += `${open ? "L" : "M"}${this.x(at).toFixed(1)} ${this.y(value, top).toFixed(1)}`;
      if (value !== null && !open && (values[at + 1] ?? null) === null) path += "h2";
      open = value !== null;
    });
    return draw("path", { class: `line c${place}`, d: path });
  }

  legend(series) {
    const at = this.at ?? this.count() - 1;
    const ago = this.history.step_s * (this.count() - 1 - at);
    const words = this.chart.lines.map(([name], place) => [name, this.chart.say(latest(series[place], at, this.at))]);
    this.key.replaceChildren(
      ...words.map(([name, said], place) => make("li", {}, make("i", { class: `c${place}` }), `${name} `, make("b", {}, said))),
      make("li", {}, ago ? `${ago} s ago` : "now"),
    );
    this.svg.setAttribute("aria-label", `${this.chart.title}: ${words.map((word) => word.join(" ")).join(", ")}`);
  }

  x(at) {
    return LEFT + ((this.width - LEFT - 2) * at) / Math.max(1, this.count() - 1);
  }

  y(value, top) {
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  }
}

// The value under the pointer; at rest the last there was.
function latest(values, at, pointed) {
  if (pointed !== null) return values[at] ?? null;
  return values.findLast((value) => value !== null) ?? null;
}

function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 2.5, 5, 10].find((step) => value <= step * unit);
}
