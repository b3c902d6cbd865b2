--- openrouter-cost completion: what makes a shell complete the command's words.
local tools = require "openrouter.commands.tools"

local command = {}

local SHELLS = { "bash", "zsh", "fish" }

function command.add(parser)
  local of_completion = parser:command("completion", "Write a script that completes this command's words in a shell.")
  tools.choice(of_completion:argument("shell", "bash, zsh or fish."), "shell", SHELLS)
  tools.epilog(of_completion, nil, {
    'eval "$(openrouter-cost completion bash)"',
    'eval "$(openrouter-cost completion zsh)"',
    "openrouter-cost completion fish | source",
  })
end

-- What argparse's scripts lack. Without words of ours, bash itself completes file names, with spaces and the like in them.
local function mended(script, shell)
  if shell == "bash" then return (script:gsub('COMPREPLY=%(%$%(compgen %-f %-%- "%$cur"%)%)', "COMPREPLY=()")) end
  if shell ~= "zsh" then return script end
  return (script:gsub("\n(_openrouter%-cost)\n$", function(name) -- at the end, for a file that zsh finds; but eval reads it, too
    return ('\nif [ "$funcstack[1]" = "%s" ]; then %s "$@"; else compdef %s openrouter-cost; fi\n'):format(name, name, name)
  end))
end

function command.run(args)
  local parser = tools.parser
  for element, names in pairs(tools.choices) do element:choices(names) end
  tools.put(mended(parser["get_" .. args.shell .. "_complete"](parser), args.shell))
  return tools.OK
end

return command
