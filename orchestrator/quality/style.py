"""The report page's style sheet: for screens of any width and for paper."""

STYLE = """
:root { --ink: #1d2530; --soft: #5b6675; --line: #dfe4ea; --good: #1f7a4d; --warn: #b45309; --dub: #2f6db5;
  --fast: #dd8a1e; --late: #c0392b; --slot: #dde3ea; --original: #94a0ae; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica,
  Arial, "Noto Sans", sans-serif; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 16px; margin: 0 0 2px; font-weight: 650; }
.of { color: var(--soft); margin: 4px 0 20px; overflow-wrap: anywhere; }
.hint { color: var(--soft); font-size: 13px; margin: 0 0 10px; }
section, .tile { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
section { padding: 18px 20px; margin: 16px 0; break-inside: avoid; }
.notice { background: #fff4e0; border-color: #f0c987; }
.notice p, .verdict p { margin: 4px 0; }
.verdict.good { border-left: 5px solid var(--good); }
.verdict.warn { border-left: 5px solid var(--warn); }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(206px, 1fr)); gap: 12px; }
.tile { padding: 12px 16px 10px; border-top: 4px solid var(--line); break-inside: avoid; }
.tile.good { border-top-color: var(--good); }
.tile.warn { border-top-color: var(--warn); }
.tile .name { color: var(--soft); font-size: 13px; }
.tile .figure { font-size: 24px; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile .figure small { font-size: 14px; font-weight: 500; color: var(--soft); }
.tile .more { color: var(--soft); font-size: 12.5px; line-height: 1.35; }
.tile.absent .figure { font-size: 16px; font-weight: 500; color: var(--soft); padding: 4px 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; fill: var(--soft); }
svg .value { fill: var(--ink); text-anchor: middle; font-weight: 600; }
.lane { fill: #f7f9fb; }
.slot { fill: var(--slot); } .original { fill: var(--original); }
.dub { fill: var(--dub); } .fast { fill: var(--fast); } .late { fill: var(--late); }
.grid { stroke: var(--line); } .base { stroke: var(--original); }
.target { stroke: var(--good); stroke-dasharray: 6 4; }
svg .target-text { fill: var(--good); }
.curve { fill: none; stroke: var(--dub); stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); margin-bottom: 8px; }
.legend svg { display: inline-block; width: 12px; height: 12px; margin-right: 6px; vertical-align: -1px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 550; font-size: 13px; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td bdi { overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 12.5px; margin-top: 20px; }
@media print { body { background: #fff; } main { max-width: none; padding: 0; } }
"""
