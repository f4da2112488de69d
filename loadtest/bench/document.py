"""The page around a report: one file that needs nothing else, legible dark and light. Pure."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #ffffff; --ink: #1c1f23; --soft: #626b76; --rule: #dfe3e8;
  --c0: #2458c5; --c1: #b45309; --c2: #0f766e; --c3: #7c3aed; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --card: #1c2126; --ink: #e7eaee; --soft: #9aa5b1;
  --rule: #323a43; --c0: #7aa7ff; --c1: #f5b04c; --c2: #4fd1b8; --c3: #c3a6ff; --bad: #ff8f8f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 28px 20px 60px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 32px 0 10px; }
p { color: var(--soft); margin: 4px 0 0; } p.doubt { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; margin: 16px 0; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.plots { margin-top: 16px; display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 10px 12px; }
figcaption { font-weight: 600; } svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--rule); }
.tick { fill: var(--soft); font-size: 11px; } .label { fill: var(--soft); font-size: 12px; }
.limit { stroke: var(--bad); stroke-dasharray: 5 4; } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); } .l2 { stroke: var(--c2); } .l3 { stroke: var(--c3); }
.dots { fill-opacity: .75; } .d0 { fill: var(--c0); } .d1 { fill: var(--c1); }
.d2 { fill: var(--c2); } .d3 { fill: var(--c3); }
.keys { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; margin: 0 6px 3px 0;
  background: currentcolor; }
.k0 { color: var(--c0); } .k1 { color: var(--c1); } .k2 { color: var(--c2); } .k3 { color: var(--c3); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
"""


def document(title: str, body: Sequence[str]) -> str:
    """A whole document."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
    )
    return f"{head}<body>{''.join(body)}</body></html>\n"


def tiles(pairs: Sequence[tuple[str, str]]) -> str:
    """Headline numbers: (what, value)."""
    cells = (f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for what, value in pairs)
    return f'<div class="tiles">{"".join(cells)}</div>'


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is what a row is about."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def paragraph(text: str, kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f"<p{marked}>{escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    return f"<h{level}>{escape(text)}</h{level}>"


def plots(figures: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(figures)}</div>'
