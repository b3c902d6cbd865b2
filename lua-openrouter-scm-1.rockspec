rockspec_format = "3.0"
package = "lua-openrouter"
version = "scm-1"

source = { url = "git+https://github.com/lua-openrouter/lua-openrouter.git" }

description = {
  summary = "What an LLM call through OpenRouter really cost",
  detailed = [[
Fetches generation records from OpenRouter's API, one or many, keeps them lossless in a local ledger, and adds
them up exactly. A C core on libcurl, for Lua and LuaJIT.]],
  homepage = "https://github.com/lua-openrouter/lua-openrouter",
  license = "MIT",
}

dependencies = { "lua >= 5.1, < 5.6", "argparse >= 0.7" }
external_dependencies = { CURL = { library = "curl" } }   -- not its header: Debian's is in no folder luarocks looks in

build = {
  type = "builtin",
  modules = {
    openrouter = "lua/openrouter/init.lua",
    ["openrouter.batch"] = "lua/openrouter/batch.lua",
    ["openrouter.check"] = "lua/openrouter/check.lua",
    ["openrouter.cli"] = "lua/openrouter/cli.lua",
    ["openrouter.client"] = "lua/openrouter/client.lua",
    ["openrouter.commands.check"] = "lua/openrouter/commands/check.lua",
    ["openrouter.commands.completion"] = "lua/openrouter/commands/completion.lua",
    ["openrouter.commands.diff"] = "lua/openrouter/commands/diff.lua",
    ["openrouter.commands.fetch"] = "lua/openrouter/commands/fetch.lua",
    ["openrouter.commands.get"] = "lua/openrouter/commands/get.lua",
    ["openrouter.commands.ledgers"] = "lua/openrouter/commands/ledgers.lua",
    ["openrouter.commands.man"] = "lua/openrouter/commands/man.lua",
    ["openrouter.commands.output"] = "lua/openrouter/commands/output.lua",
    ["openrouter.commands.reconcile"] = "lua/openrouter/commands/reconcile.lua",
    ["openrouter.commands.report"] = "lua/openrouter/commands/report.lua",
    ["openrouter.commands.settle"] = "lua/openrouter/commands/settle.lua",
    ["openrouter.commands.tools"] = "lua/openrouter/commands/tools.lua",
    ["openrouter.decimal"] = "lua/openrouter/decimal.lua",
    ["openrouter.diff"] = "lua/openrouter/diff.lua",
    ["openrouter.each_line"] = "lua/openrouter/each_line.lua",
    ["openrouter.errors"] = "lua/openrouter/errors.lua",
    ["openrouter.files"] = "lua/openrouter/files.lua",
    ["openrouter.format.check_json"] = "lua/openrouter/format/check_json.lua",
    ["openrouter.format.check_text"] = "lua/openrouter/format/check_text.lua",
    ["openrouter.format.csv"] = "lua/openrouter/format/csv.lua",
    ["openrouter.format.diff_json"] = "lua/openrouter/format/diff_json.lua",
    ["openrouter.format.diff_text"] = "lua/openrouter/format/diff_text.lua",
    ["openrouter.format.encode"] = "lua/openrouter/format/encode.lua",
    ["openrouter.format.html"] = "lua/openrouter/format/html.lua",
    ["openrouter.format.html.chart"] = "lua/openrouter/format/html/chart.lua",
    ["openrouter.format.html.days"] = "lua/openrouter/format/html/days.lua",
    ["openrouter.format.html.figures"] = "lua/openrouter/format/html/figures.lua",
    ["openrouter.format.html.markup"] = "lua/openrouter/format/html/markup.lua",
    ["openrouter.format.html.sections"] = "lua/openrouter/format/html/sections.lua",
    ["openrouter.format.html.style"] = "lua/openrouter/format/html/style.lua",
    ["openrouter.format.html.tables"] = "lua/openrouter/format/html/tables.lua",
    ["openrouter.format.json"] = "lua/openrouter/format/json.lua",
    ["openrouter.format.layout"] = "lua/openrouter/format/layout.lua",
    ["openrouter.format.markdown"] = "lua/openrouter/format/markdown.lua",
    ["openrouter.format.partial"] = "lua/openrouter/format/partial.lua",
    ["openrouter.format.reconcile_json"] = "lua/openrouter/format/reconcile_json.lua",
    ["openrouter.format.reconcile_text"] = "lua/openrouter/format/reconcile_text.lua",
    ["openrouter.format.scope"] = "lua/openrouter/format/scope.lua",
    ["openrouter.format.text"] = "lua/openrouter/format/text.lua",
    ["openrouter.format.words"] = "lua/openrouter/format/words.lua",
    ["openrouter.generation"] = "lua/openrouter/generation.lua",
    ["openrouter.keys"] = "lua/openrouter/keys.lua",
    ["openrouter.ledger"] = "lua/openrouter/ledger.lua",
    ["openrouter.line_head"] = "lua/openrouter/line_head.lua",
    ["openrouter.nearest"] = "lua/openrouter/nearest.lua",
    ["openrouter.nginx"] = "lua/openrouter/nginx.lua",
    ["openrouter.nginx.chunk"] = "lua/openrouter/nginx/chunk.lua",
    ["openrouter.nginx.cosocket"] = "lua/openrouter/nginx/cosocket.lua",
    ["openrouter.nginx.journal"] = "lua/openrouter/nginx/journal.lua",
    ["openrouter.nginx.ledger"] = "lua/openrouter/nginx/ledger.lua",
    ["openrouter.nginx.metrics"] = "lua/openrouter/nginx/metrics.lua",
    ["openrouter.nginx.options"] = "lua/openrouter/nginx/options.lua",
    ["openrouter.nginx.origin"] = "lua/openrouter/nginx/origin.lua",
    ["openrouter.nginx.settle"] = "lua/openrouter/nginx/settle.lua",
    ["openrouter.nginx.sweep"] = "lua/openrouter/nginx/sweep.lua",
    ["openrouter.options"] = "lua/openrouter/options.lua",
    ["openrouter.period"] = "lua/openrouter/period.lua",
    ["openrouter.printable"] = "lua/openrouter/printable.lua",
    ["openrouter.progress"] = "lua/openrouter/progress.lua",
    ["openrouter.reconcile"] = "lua/openrouter/reconcile.lua",
    ["openrouter.records"] = "lua/openrouter/records.lua",
    ["openrouter.report"] = "lua/openrouter/report.lua",
    ["openrouter.report.declaration"] = "lua/openrouter/report/declaration.lua",
    ["openrouter.report.page"] = "lua/openrouter/report/page.lua",
    ["openrouter.report.rows"] = "lua/openrouter/report/rows.lua",
    ["openrouter.report.vocabulary"] = "lua/openrouter/report/vocabulary.lua",
    ["openrouter.settle"] = "lua/openrouter/settle.lua",
    ["openrouter.settled_among"] = "lua/openrouter/settled_among.lua",
    ["openrouter.terminal"] = "lua/openrouter/terminal.lua",
    ["openrouter.unsettled"] = "lua/openrouter/unsettled.lua",
    ["openrouter.witness"] = "lua/openrouter/witness.lua",
    ["openrouter.zone"] = "lua/openrouter/zone.lua",
    ["openrouter.core"] = {
      sources = {
        "csrc/fields.c", "csrc/file.c", "csrc/file_reader.c", "csrc/file_shared.c", "csrc/hash.c", "csrc/histogram.c",
        "csrc/http1.c", "csrc/json.c", "csrc/line.c", "csrc/lookup.c", "csrc/lua_core.c",
        "csrc/lua_directory.c", "csrc/lua_error.c", "csrc/lua_failure.c", "csrc/lua_file.c", "csrc/lua_generation.c",
        "csrc/lua_http1.c", "csrc/lua_line.c", "csrc/lua_lookup.c", "csrc/lua_record.c",
        "csrc/lua_scanner.c", "csrc/lua_segment.c", "csrc/lua_tally.c", "csrc/lua_utc.c", "csrc/lua_value.c",
        "csrc/lua_verdict.c", "csrc/lua_zone.c", "csrc/money.c", "csrc/pace.c", "csrc/quote.c", "csrc/record.c", "csrc/retry.c",
        "csrc/scanner.c", "csrc/segment.c", "csrc/sightings.c", "csrc/spend.c", "csrc/tally.c", "csrc/tally_dearest.c",
        "csrc/tally_file.c", "csrc/tally_group.c", "csrc/tally_key.c", "csrc/tally_merge.c", "csrc/tally_part.c",
        "csrc/tally_resolve.c", "csrc/unpack.c", "csrc/utc.c", "csrc/zone.c", "csrc/zone_file.c",
      },
      libraries = { "m", "pthread" },
    },
    ["openrouter.curl"] = {
      sources = {
        "csrc/curl_events.c", "csrc/curl_origin.c", "csrc/curl_transport.c", "csrc/lua_curl.c",
        -- the engine, which it drives in C
        "csrc/fields.c", "csrc/histogram.c", "csrc/json.c", "csrc/lookup.c", "csrc/lua_error.c",
        "csrc/lua_lookup.c", "csrc/lua_record.c", "csrc/lua_value.c", "csrc/lua_verdict.c", "csrc/money.c", "csrc/pace.c",
        "csrc/quote.c", "csrc/record.c", "csrc/retry.c", "csrc/utc.c",
      },
      libraries = { "curl", "m" }, incdirs = { "$(CURL_INCDIR)" }, libdirs = { "$(CURL_LIBDIR)" },
    },
  },
  install = { bin = { "bin/openrouter-cost" } },
}

test_dependencies = { "busted" }
test = { type = "command", command = "make test" }
