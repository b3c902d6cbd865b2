--- Charts of the HTML page as inline SVG. Widths are percentages and heights are pixels, so that a chart is as wide as the page,
--- with letters as large as the text at any width.
local figures = require "openrouter.format.html.figures"
local markup = require "openrouter.format.html.markup"

local element = markup.element
local chart = {}

local HEIGHT, TOP, BOTTOM = 200, 14, 26 -- of the plot, and for what stands above and below
local MARK = 17                         -- for the words of a mark, above the plot
local CHARACTER = 7.6                   -- pixels that a digit takes at most, and twice what a space does
local GAP, MARGIN = 4, 4                -- pixels between labels, and how far one may stand out of the plot
-- Windows for which labels are chosen: from which width on, what of it is beside the plot and its axis, and the class of what is
-- shown in them (html/style.lua)
local WINDOWS = { { from = 320, beside = 62, class = "at320" }, { from = 360, beside = 62, class = "at360" },
  { from = 390, beside = 62, class = "at390" }, { from = 761, beside = 98, class = "at761" } }
local NARROWEST, WIDEST = WINDOWS[1], WINDOWS[#WINDOWS]

local function percentage(x)
  return ("%.3f%%"):format(100 * x)
end

local function pixels(y)
  return ("%.1f"):format(y)
end

-- The distance of lines that are round numbers, four to six of them up to `top`.
local function nice_step(top)
  local power = 10 ^ math.floor(math.log(top) / math.log(10))
  for _, factor in ipairs { 0.2, 0.25, 0.5, 1, 2 } do
    if top / (power * factor) <= 5.0001 then return power * factor end
  end
  return power * 2
end

---@param lowest number 0 or less
---@param highest number 0 or more
---@param top number where the plot begins
---@param whole? boolean no lines between whole numbers
local function make_scale(lowest, highest, top, whole)
  local step = nice_step(math.max(highest, -lowest, whole and 1 or 1e-9))
  if whole then step = math.max(1, math.ceil(step)) end
  local first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
  if first == last then last = first + 1 end
  local scale = { step = step, ticks = {}, top = top, bottom = top + HEIGHT, height = top + HEIGHT + BOTTOM }
  for i = first, last do scale.ticks[#scale.ticks + 1] = i * step end
  if lowest == highest then scale.ticks, scale.step = { 0 }, 1 end -- of nothing there are no amounts to name
  function scale.y(value)
    return top + HEIGHT * (last * step - value) / ((last - first) * step)
  end
  return scale
end

local function range(bars)
  local lowest, highest = 0, 0
  for _, bar in ipairs(bars) do lowest, highest = math.min(lowest, bar.value or 0), math.max(highest, bar.value or 0) end
  return lowest, highest
end

-- The axis stands in an SVG of its own, for its width is in pixels.
local function axis(scale, text_of)
  local longest, labels = 0, {}
  for i, tick in ipairs(scale.ticks) do
    local text = text_of(tick, scale.step)
    longest = math.max(longest, #text)
    labels[i] = { pixels(scale.y(tick) + 4), text }
  end
  local width, texts = math.ceil(longest * CHARACTER) + 8, {}
  for i, label in ipairs(labels) do
    texts[i] = element("text", { x = width - 8, y = label[1], ["text-anchor"] = "end" }, label[2])
  end
  return element("svg", { class = "axis", width = width, height = scale.height, ["aria-hidden"] = "true" }, texts), width
end

local function lines(scale)
  local parts = {}
  for i, tick in ipairs(scale.ticks) do
    local y = pixels(scale.y(tick))
    parts[i] = element("line", { class = tick == 0 and "base" or "grid", x1 = 0, x2 = "100%", y1 = y, y2 = y })
  end
  return parts
end

-- What is not nothing can be seen.
local function bar_rect(bar, scale)
  if not bar.value then return element("rect", { class = "gap", x = percentage(bar.from), width = percentage(bar.to - bar.from),
    y = scale.top, height = HEIGHT }, element("title", {}, bar.tip)) end
  local top, bottom = scale.y(math.max(bar.value, 0)), scale.y(math.min(bar.value, 0))
  if bar.value ~= 0 and bottom - top < 1.5 then
    if bar.value > 0 then top = bottom - 1.5 else bottom = top + 1.5 end
  end
  local class = "bar" .. (bar.value < 0 and " below" or "") .. (bar.part and " partial" or "")
  return element("rect", { class = class, x = percentage(bar.from),
    width = percentage(bar.to - bar.from), y = pixels(top), height = pixels(bottom - top) }, element("title", {}, bar.tip))
end

-- How wide the plot is at least.
local function plot_of(window, axis_width)
  return window.from - window.beside - axis_width
end

-- What a text takes at most.
local function text_width(text)
  local _, spaces = text:gsub(" ", "")
  return CHARACTER * (#text - spaces / 2)
end

-- Where a label begins and ends on a plot of that width.
local function extent(label, plot)
  local at, width = label.at * plot, text_width(label.text)
  local from = label.anchor == "start" and at or label.anchor == "end" and at - width or at - width / 2
  return from, from + width
end

-- In the middle below its tick, except where it would stand out of the narrowest page, or out of the plot of a wide one.
local function anchor_of(label, axis_width)
  local narrowest, widest = plot_of(NARROWEST, axis_width), plot_of(WIDEST, axis_width)
  local half = text_width(label.text) / 2
  return label.at * narrowest - half < -axis_width and "start" or label.at * widest + half > widest + MARGIN and "end" or "middle"
end

-- One label of so many, of which none may leave the plot; nil where they would be upon each other. They may stand below the axis.
local function every(labels, step, plot)
  local picked, latest = {}, -math.huge
  for i = 1, #labels, step do
    local from, to = extent(labels[i], plot)
    if from < latest + GAP then return nil end
    if to <= plot + MARGIN then picked[#picked + 1], latest = labels[i], to end
  end
  return picked
end

-- Give labels an anchor, and the classes of the windows that have room for them.
local function fit_labels(labels, axis_width)
  for _, label in ipairs(labels) do label.anchor, label.class = anchor_of(label, axis_width), "label" end
  for _, window in ipairs(WINDOWS) do
    local plot, step = plot_of(window, axis_width), 1
    while not every(labels, step, plot) do step = step + 1 end
    for _, label in ipairs(every(labels, step, plot)) do label.class = label.class .. " " .. window.class end
  end
end

-- A label under the plot.
local function label_text(label, scale)
  local at = percentage(label.at)
  return { element("line", { class = "tick " .. label.class, x1 = at, x2 = at, y1 = scale.bottom, y2 = scale.bottom + 5 }),
    element("text", { class = label.class, x = at, y = scale.bottom + 20, ["text-anchor"] = label.anchor }, label.text) }
end

-- A line across the plot with words at its head, before it where there is room. The first one is the highest, so that it has the
-- lines of those before it below its words.
local function mark_line(mark, place, scale, plot)
  local before = mark.at > 0.45 or (1 - mark.at) * plot < text_width(mark.text) + 6
  local at, y = percentage(mark.at), place * MARK - 3
  return { element("line", { class = "mark", x1 = at, x2 = at, y1 = y - 10, y2 = scale.bottom }),
    element("text", { class = "marked", x = at, dx = before and -6 or 6, y = y, ["text-anchor"] = before and "end" or "start" },
      mark.text) }
end

---@class openrouter.Chart
---@field id string
---@field title string
---@field description string what is to be seen, in words
---@field bars { from: number, to: number, value: number?, tip: string, part: string? }[] places from 0 to 1; without a value a
---  gap; `part` where it stands for less than it could
---@field labels { at: number, text: string }[] under the plot, from left to right; on small screens some are left out
---@field marks? { at: number, text: string }[] from right to left
---@field axis fun(value: number, step: number): string what an amount is called, of those that are so far from each other
---@field whole? boolean whole numbers

--- Upright bars over an axis.
---@param of openrouter.Chart
function chart.columns(of)
  local lowest, highest = range(of.bars)
  local rects, labels, marks, top = {}, {}, {}, TOP + MARK * #(of.marks or {})
  local scale = make_scale(lowest, highest, top, of.whole)
  local beside, axis_width = axis(scale, of.axis)
  fit_labels(of.labels, axis_width)
  for i, bar in ipairs(of.bars) do rects[i] = bar_rect(bar, scale) end
  for i, label in ipairs(of.labels) do labels[i] = label_text(label, scale) end
  for i, mark in ipairs(of.marks or {}) do marks[i] = mark_line(mark, i, scale, plot_of(NARROWEST, axis_width)) end
  return element("div", { class = "plot" }, beside,
    element("svg", { class = "chart", role = "img", ["aria-labelledby"] = of.id .. "-title " .. of.id .. "-desc",
      height = scale.height, width = "100%" },
      element("title", { id = of.id .. "-title" }, of.title), element("desc", { id = of.id .. "-desc" }, of.description),
      lines(scale), rects, labels, marks))
end

--- A bar for a cell of a table, next to which its figure stands.
---@param share number 0 to 1
---@param class? string
---@param rest? string class of what is not the share
function chart.bar(share, class, rest)
  share = math.max(0, math.min(1, share))
  return element("svg", { class = "share", ["aria-hidden"] = "true", width = "100%", height = 10 },
    element("rect", { class = share < 1 and rest or "track", width = "100%", height = 10, rx = 2 }),
    share > 0 and element("rect", { class = class or "bar", width = percentage(math.max(share, 0.005)), height = 10, rx = 2 }))
end

--- A bar of several parts that make up a whole, with a legend.
---@param id string
---@param title string
---@param parts { name: string, value: number, text: any, share: string? }[] `share` where it is not that of the value
function chart.parts(id, title, parts)
  local whole, at, rects, legend, words = 0, 0, {}, {}, {}
  for _, part in ipairs(parts) do whole = whole + part.value end
  if whole <= 0 then return nil end
  for i, part in ipairs(parts) do
    local share = part.share or figures.percent(part.value, whole)
    rects[i] = part.value > 0 and element("rect", { class = "part" .. i, x = percentage(at), height = 22,
      width = percentage(part.value / whole) }, element("title", {}, part.name .. " " .. share))
    at = at + part.value / whole
    words[i] = part.name .. " " .. share
    legend[i] = element("li", {}, element("svg", { class = "key", width = 12, height = 12, ["aria-hidden"] = "true" },
      element("rect", { class = "part" .. i, width = 12, height = 12, rx = 2 })),
      element("span", {}, part.name), " ", element("b", {}, share), " ", element("span", { class = "quiet" }, part.text))
  end
  return { element("svg", { class = "parts", role = "img", ["aria-labelledby"] = id .. "-title " .. id .. "-desc", width = "100%",
    height = 22 }, element("title", { id = id .. "-title" }, title),
    element("desc", { id = id .. "-desc" }, table.concat(words, ", ")), rects), element("ul", { class = "legend" }, legend) }
end

return chart
