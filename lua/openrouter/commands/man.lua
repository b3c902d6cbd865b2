--- openrouter-cost man: the manual page, from what the parser and reports know. For man(7), in ASCII.
local report = require "openrouter.report"
local tools = require "openrouter.commands.tools"

local command = {}

local DATE = "2026-12-01" -- when the commands last changed: not that of a build, so that two builds are the same

function command.add(parser)
  local of_man = parser:command("man", "Write the manual page.")
  tools.epilog(of_man, nil, { "openrouter-cost man | man -l -" })
end

-- ---- roff -----------------------------------------------------------------------------------------------------------

local function code_point(character)
  local lead, rest = character:byte(), character:sub(2)
  local point = lead - (#rest == 1 and 0xC0 or #rest == 2 and 0xE0 or 0xF0)
  for i = 1, #rest do point = point * 64 + rest:byte(i) - 0x80 end
  return ("\\[u%04X]"):format(point)
end

-- Text as it is: no escapes, hyphens that can be copied as the minus signs they are, no requests at the start of a line.
local function plain(text)
  return (text:gsub("\\", "\\e"):gsub("-", "\\-"):gsub("[\192-\247][\128-\191]+", code_point)
    :gsub("^[.']", "\\&%0"):gsub("\n([.'])", "\n\\&%1"))
end

-- A sentence that begins a line each: that is how roff gets the space between them right.
local function prose(text)
  return (plain(text):gsub("([.:]) +(%u)", "%1\n%2"))
end

local function bold(text)
  return "\\fB" .. plain(text) .. "\\fR"
end

local function italic(text)
  return "\\fI" .. plain(text) .. "\\fR"
end

-- ---- parts of the page ----------------------------------------------------------------------------------------------

-- "<file>" of argparse, without its brackets
local function name_of_argument(element)
  return italic((element:_get_argname(1):gsub("^<(.*)>$", "%1")))
end

local function option_label(option)
  local names = {}
  for i, name in ipairs(option._aliases) do names[i] = bold(name) end
  local label = table.concat(names, ", ")
  return option._maxargs > 0 and label .. " " .. name_of_argument(option) or label
end

local function add_item(page, label, description)
  page[#page + 1] = ".TP\n" .. label .. "\n" .. prose(description)
end

local function usage(of)
  return plain((of:get_usage():gsub("^Usage: ", ""):gsub("%s+", " ")))
end

local function add_examples(page, examples)
  page[#page + 1] = ".PP\nExamples:\n.PP\n.RS\n.nf"
  for _, line in ipairs(examples) do page[#page + 1] = plain(line) end
  page[#page + 1] = ".fi\n.RE"
end

local function add_command(page, of)
  page[#page + 1] = ".SS " .. of._name .. "\n" .. usage(of) .. "\n.PP\n" .. prose(of._description)
  local notes = tools.notes[of] or { text = of._epilog }
  if notes.text then page[#page + 1] = ".PP\n" .. prose(notes.text) end
  for _, argument in ipairs(of._arguments) do add_item(page, name_of_argument(argument), argument:_get_description()) end
  for _, option in ipairs(of._options) do
    if option._name ~= "-h" then add_item(page, option_label(option), option:_get_description()) end -- all have it
  end
  if notes.examples then add_examples(page, notes.examples) end
end

-- Quantiles stand behind what they are of: latency_p50, _p90, _p95, _p99.
local function joined(names)
  local words, of = {}, nil
  for _, name in ipairs(names) do
    local base, quantile = name:match "^(.*)(_p%d+)$"
    if base and base == of then words[#words] = words[#words] .. ", " .. quantile
    else words[#words + 1] = name end
    of = base
  end
  return table.concat(words, "; ")
end

local function add_names(page)
  page[#page + 1] = ".SH DIMENSIONS\n.nh\n.ad l\n" .. prose("What --by and --where take: context.<name>, which is what the "
    .. "ledger line says of the request, and " .. joined(report.dimensions) .. ".")
  page[#page + 1] = ".SH MEASURES\n" .. prose("What --measures takes. Amounts are in USD, times in ms: "
    .. joined(report.measures) .. ".") .. "\n.hy\n.ad b"
end

function command.run()
  local parser = tools.parser
  local page = { '.TH OPENROUTER\\-COST 1 "' .. DATE .. '" "lua\\-openrouter" "User Commands"' }
  page[#page + 1] = ".SH NAME\nopenrouter\\-cost \\- " .. plain((parser._description:gsub("%.$", "")))
  page[#page + 1] = ".SH SYNOPSIS\n" .. bold "openrouter-cost" .. " " .. italic "command" .. " [" .. italic "argument" .. " ...]"
  page[#page + 1] = ".SH DESCRIPTION\n" .. prose(tools.ABOUT)
  page[#page + 1] = ".SH OPTIONS"
  for _, option in ipairs(parser._options) do add_item(page, option_label(option), option:_get_description()) end
  page[#page + 1] = ".SH COMMANDS"
  for _, of in ipairs(parser._commands) do add_command(page, of) end
  add_names(page)
  page[#page + 1] = ".SH EXIT STATUS"
  for _, status in ipairs(tools.STATUSES) do add_item(page, bold(tostring(status[1])), status[2]) end
  page[#page + 1] = ".SH ENVIRONMENT"
  for _, variable in ipairs(tools.ENVIRONMENT) do add_item(page, bold(variable[1]), variable[2]) end
  tools.put(table.concat(page, "\n"), "\n")
  return tools.OK
end

return command
