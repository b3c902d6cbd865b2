--- openrouter-cost completion: what makes a shell complete the command's words.
local tools = require "openrouter.commands.tools"

local command = {}

local SHELLS = { "bash", "zsh", "fish" }

function command.add(parser)
  local of_completion = parser:command("completion", "Write a script that completes this command's words in a shell.")
  tools.choice(of_completion:argument("shell", "bash, zsh or fish."), "shell", SHELLS)
  tools.epilog(of_completion, nil, {
    'eval "$(openrouter-cost completion bash)"',
    "openrouter-cost completion fish | source",
  })
end

function command.run(args)
  local parser = tools.parser
  for element, names in pairs(tools.choices) do element:choices(names) end
  tools.put(parser["get_" .. args.shell .. "_complete"](parser))
  return tools.OK
end

return command
