--- How the HTML page looks: on screens light and dark, small and large, and on paper. The page allows this style alone, by the
--- hash of its text; when it changes, a spec says what the hash is now.
local style = {}

---@type string the base64 of the SHA-256 of style.text
style.sha256 = "bXykjVZ/lLLzsFbhedMIm54M2UcD1DhAfsdpy+6pZ8U="

---@type string
style.text = [[
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16191d; --quiet: #59616d; --line: #dfe3e8; --grid: #e8ebef;
  --accent: #2f5fd0; --second: #93b1ee; --below: #b4462f; --good: #2e8b57; --track: #edf0f4; --shade: #00000024;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #181c21; --ink: #e9ecef; --quiet: #a0a8b3; --line: #2c323a; --grid: #262b32;
    --accent: #6f9cf8; --second: #38558f; --below: #ee8a6f; --good: #5cc38d; --track: #262b32; --shade: #000000a0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-size: 15px;
  -webkit-text-size-adjust: 100%; text-size-adjust: 100%;
}
main, header { max-width: 1180px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; padding-bottom: 20px; }
main { padding-bottom: 48px; }
h1 { margin: 0; font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; font-weight: 650; }
h2 { margin: 0 0 4px; font-size: 18px; line-height: 1.3; font-weight: 650; }
h3 { margin: 0 0 10px; font-size: 15px; font-weight: 650; }
header p { margin: 6px 0 0; color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px; margin: 0 0 16px; }
.note, .quiet { color: var(--quiet); }
.note { margin: 0 0 12px; max-width: 95ch; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
data, .figure, .percent, .tiles dd { font-variant-numeric: tabular-nums; }
data, time { white-space: nowrap; }
.tiles data { white-space: normal; }
bdi { white-space: pre-wrap; }

.tiles { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 12px; margin: 0 0 16px; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px;
  grid-column: span 2; min-width: 0; }
.tiles > .main { border-color: var(--accent); box-shadow: inset 0 3px 0 var(--accent); }
dt { color: var(--quiet); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
dd.value { font-size: 24px; line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; }
.main dd.value { color: var(--accent); }
dd.more { color: var(--quiet); font-size: 13px; }

.plot { display: flex; margin: 4px 0 12px; }
.plot .axis { flex: none; }
.plot .chart { flex: 1 1 0; min-width: 0; overflow: visible; }
svg { display: block; }
svg text { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); }
.base, .tick { stroke: var(--quiet); }
.tick { opacity: 0.6; }
.bar { fill: var(--accent); }
.bar.partial { fill-opacity: 0.4; stroke: var(--accent); stroke-dasharray: 4 3; }
.bar.below, .bad { fill: var(--below); }
.gap { fill: var(--track); }
.good { fill: var(--good); }
.track { fill: var(--track); }
.mark { stroke: var(--ink); stroke-dasharray: 3 3; }
svg .marked { fill: var(--ink); font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
.part1 { fill: var(--accent); }
.part2 { fill: var(--second); }
.part3 { fill: var(--quiet); }
.parts { border-radius: 4px; overflow: hidden; }

.scroll { position: relative; overflow-x: auto; margin: 0 -24px; padding: 0 24px 2px;
  background: linear-gradient(to right, var(--card) 50%, transparent) left / 36px 100% no-repeat local,
    linear-gradient(to left, var(--card) 50%, transparent) right / 36px 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / 12px 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) right / 12px 100% no-repeat scroll; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: 7px 10px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); font-weight: 400; }
tbody tr:last-child > * { border-bottom: 0; }
@media screen {
  .dense { font-size: 13px; }
  .dense thead th { font-size: 12px; }
  .dense th, .dense td { padding-left: 6px; padding-right: 6px; }
}
th:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--quiet); font-size: 13px; vertical-align: bottom; line-height: 1.3; }
tfoot > tr > * { border-top: 2px solid var(--line); border-bottom: 0; font-weight: 650; }
.figure { text-align: right; }
td.figure { white-space: nowrap; }
.nowrap, .nowrap bdi { white-space: nowrap; }
.name { min-width: 180px; max-width: 340px; overflow-wrap: anywhere; }
.short { min-width: 80px; max-width: 220px; overflow-wrap: anywhere; }
.id { min-width: 130px; max-width: 250px; overflow-wrap: anywhere; }
td.wide, th.wide { min-width: 140px; width: 190px; }
.bars { display: flex; align-items: center; gap: 10px; }
.bars svg { flex: 1 1 auto; min-width: 60px; max-width: 200px; }
.percent { flex: none; min-width: 58px; text-align: right; }
td.wide > .percent { display: block; }

.panels { display: grid; grid-template-columns: 1fr 1fr; gap: 32px; margin-top: 10px; }
.panel { min-width: 0; }
.legend { list-style: none; margin: 10px 0; padding: 0; }
.legend .key { display: inline-block; margin-right: 8px; vertical-align: -1px; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--accent); width: fit-content; padding: 4px 0; }
.plain { margin: 6px 0 0; padding-left: 20px; }
.plain li { overflow-wrap: anywhere; margin: 3px 0; }

@media screen and (max-width: 1179.98px) { .short { min-width: 130px; } }
@media screen and (max-width: 760.98px) {
  main, header { padding-left: 14px; padding-right: 14px; }
  header { padding-top: 24px; }
  h1 { font-size: 24px; }
  section { padding: 16px; }
  .scroll { margin: 0 -16px; padding: 0 16px 2px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .tiles > div { grid-column: span 1; padding: 10px 14px; }
  .tiles > .main, .tiles > .main ~ div:last-child:nth-child(even) { grid-column: 1 / -1; }
  dd.value { font-size: 20px; }
  .main dd.value { font-size: 28px; }
  .panels { grid-template-columns: 1fr; gap: 20px; }
  .name { min-width: 120px; max-width: 170px; }
  .id, .short { min-width: 130px; max-width: 190px; }
  td.wide, th.wide { min-width: 130px; }
  th, td { padding: 7px 8px; }
}
@media screen and (max-width: 389.98px) {
  dd.value { font-size: 18px; }
}
@media screen and (max-width: 359.98px) {
  .tiles { grid-template-columns: 1fr; }
  .label:not(.at320) { display: none; }
}
@media screen and (min-width: 360px) and (max-width: 389.98px) { .label:not(.at360) { display: none; } }
@media screen and (min-width: 390px) and (max-width: 760.98px) { .label:not(.at390) { display: none; } }
@media print, screen and (min-width: 761px) { .label:not(.at761) { display: none; } }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #ccc; --grid: #ddd;
    --accent: #2f5fd0; --second: #93b1ee; --below: #b4462f; --good: #2e8b57; --track: #edf0f4; --shade: transparent; }
  @page { margin: 14mm; }
  body { font-size: 10.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main, header { max-width: none; padding-left: 0; padding-right: 0; }
  header { padding-top: 0; }
  section { padding: 12px 0; border: 0; border-top: 1px solid var(--line); border-radius: 0; margin: 0; }
  .scroll { overflow: visible; margin: 0; padding: 0; background: none; }
  .tiles { gap: 8px; }
  .tiles > div { padding: 8px 12px; }
  dd.value { font-size: 15pt; }
  dt, dd.more { font-size: 9pt; }
  table { font-size: 8pt; }
  thead th { font-size: 8pt; }
  th, td { padding: 3px 5px; }
  tfoot { display: table-row-group; }
  td.wide, th.wide { min-width: 90px; width: 110px; }
  .bars { gap: 4px; }
  .bars svg { min-width: 30px; }
  .percent { min-width: 40px; }
  .name { min-width: 110px; }
  .id { min-width: 90px; }
  .short { min-width: 78px; }
  h2, h3, .note, summary { break-after: avoid; }
  tr, li, .note, .plot, .tiles > div, [aria-labelledby="cache"], [aria-labelledby="omitted"] { break-inside: avoid; }
  details { display: none; }
}
]]

return style
