--- Running commands and keeping temporary files, for specs.
local shell = {}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end
shell.read = read

function shell.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
  return path
end

--- One argument, quoted for sh.
function shell.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- A new directory; shell.clean() removes all of them.
local directories = {}
function shell.directory()
  local pipe = assert(io.popen "mktemp -d")
  local path = pipe:read "*l"
  pipe:close()
  directories[#directories + 1] = path
  return path
end

function shell.clean()
  for _, path in ipairs(directories) do os.execute("rm -rf " .. shell.quote(path)) end
  directories = {}
end

--- Run a command line: its exit status, what it wrote to stdout and to stderr.
function shell.run(command)
  local directory = shell.directory()
  local out, err, status = directory .. "/out", directory .. "/err", directory .. "/status"
  os.execute(("{ %s\n} >%s 2>%s </dev/null; echo $? >%s"):format(command, out, err, status))
  return tonumber(read(status)), read(out), read(err)
end

--- The same where stdout and stderr are a terminal of so many columns, or one that does not say: its exit status, and what
--- comes to be seen.
function shell.terminal(command, columns)
  local status, out, err = shell.run("python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' sh -c "
    .. shell.quote(("stty cols %d; unset NO_COLOR COLUMNS; export TERM=xterm\n%s"):format(columns or 0, command)))
  assert(err == "", err)
  return status, (out:gsub("\r\n", "\n"))
end

--- The command line that runs openrouter-cost under the Lua that runs this spec.
function shell.cost(arguments)
  return (os.getenv "LUA" or "lua5.4") .. " bin/openrouter-cost " .. arguments
end

return shell
