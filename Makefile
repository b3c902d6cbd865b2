# lua-openrouter. `make` builds both C modules for Lua 5.4 and for LuaJIT, side by side in build/.
#
#   all      build/5.4 and build/5.1 (LuaJIT): openrouter/core.so, openrouter/curl.so
#   portable build/portable-5.4 and build/portable-5.1: openrouter/core.so without what is there for speed alone
#   demo     the tour, examples/demo
#   sandbox  the API's local stand-in, until interrupted
#   test     every spec under both Luas; SPEC=spec/spend_spec.lua and LUAS=5.4 (or 5.1) choose
#   sanitize every spec with its accesses to memory watched; TOOLS="asan valgrind gc", SPEC and LUAS choose
#   lint     what machines can see without running it
#   bench    every bench/*/run
#   fuzz     coverage-guided, FUZZ_SECONDS=60 for each target (fuzz/README.md)
#   soak     200,000 lookups with faults among them, through one client; IDS= says how many
#   install  into PREFIX, below DESTDIR, with the manual page and what completes the command's words in shells
#   deps     the Debian packages that are missing, by apt; demo and test do it first

CFLAGS        = -O2 -g
WERROR        = -Werror
LUA           = lua5.4
LUA_INCDIR    = /usr/include/lua5.4
LUAJIT        = luajit
LUAJIT_INCDIR = /usr/include/luajit-2.1
CURL_CFLAGS   =
CURL_LIBS     = -lcurl
PREFIX        = /usr/local
DESTDIR       =
BUILD         = build
SPEC          = spec
LUAS          = 5.4 5.1
TOOLS         = asan valgrind gc
IDS           = 200000

# "a|b" is content with either and installs a. luajit2, because the Lua module of Debian 12's nginx excludes plain luajit,
# which serves as well where it goes with nginx.
PACKAGES = gcc libc6-dev lua5.4 liblua5.4-dev luajit2|luajit libluajit2-5.1-dev|libluajit-5.1-dev \
  libcurl4-openssl-dev|libcurl4-gnutls-dev lua-argparse ca-certificates nginx libnginx-mod-http-lua
TEST_PACKAGES = lua-busted lua-cjson procps lua-check lua5.1 liblua5.1-0-dev luarocks clang python3 curl openssl valgrind \
  libc6-dbg lua-cqueues lua-luv locales strace tzdata \
  gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user $(if $(filter x86_64,$(shell uname -m)),lib32gcc-12-dev libc6-dev-i386)
# large ones, which specs use where they are, and say so where they are not; .ci/run installs them
CI_PACKAGES = chromium poppler-utils zsh fish logrotate
BENCH_PACKAGES = curl openssl nghttp2-client nodejs npm|nodejs lua-socket lua-cjson python3 wrk g++ libsimdjson-dev valgrind

# LPeg's warnings, less three that forbid ordinary C99: a declaration where it is needed, a small struct as a result, a call's
# result cast on the spot.
WARNINGS = -Wall -Wextra -pedantic -Wcast-align -Wcast-qual -Wdisabled-optimization -Wpointer-arith -Wshadow \
  -Wsign-compare -Wundef -Wwrite-strings -Wmissing-prototypes -Wmissing-declarations \
  -Wnested-externs -Wstrict-prototypes -Wredundant-decls -Wc++-compat
STRICT   = -std=c99 $(WARNINGS) $(WERROR)
COMPILE  = $(CC) $(STRICT) $(CFLAGS) $(CURL_CFLAGS) -fPIC -fvisibility=hidden -pthread -MMD -MP

SOURCES      = $(wildcard csrc/*.c)
CURL_OBJECTS = lua_curl.o $(patsubst csrc/%.c,%.o,$(wildcard csrc/curl_*.c))
CORE_OBJECTS = $(filter-out $(CURL_OBJECTS),$(SOURCES:csrc/%.c=%.o))
# the engine, which curl.so drives in C, so that it has a copy of it
ENGINE_OBJECTS = $(addsuffix .o,fields histogram json lookup lua_error lua_lookup lua_record lua_value lua_verdict \
  money pace quote record retry utc)
OBJECTS      = $(foreach abi,5.4 5.1,$(addprefix $(BUILD)/$(abi)/,$(CORE_OBJECTS) $(CURL_OBJECTS)))
MODULES      = $(foreach abi,5.4 5.1,$(BUILD)/$(abi)/openrouter/core.so $(BUILD)/$(abi)/openrouter/curl.so)

# What a machine gets for which no fast path was written. Each can be switched off alone; csrc/json.h says what they are.
PORTABLE         = $(addprefix -DOPENROUTER_NO_,SSE2 WORDS PREDICTION FIELD_HASH FAST_NUMBERS)
PORTABLE_OBJECTS = $(foreach abi,5.4 5.1,$(addprefix build/portable-$(abi)/,$(CORE_OBJECTS)))

# What the command writes about itself, below PREFIX
MAN_PAGE  = share/man/man1/openrouter-cost.1
BASH      = share/bash-completion/completions/openrouter-cost
ZSH       = share/zsh/site-functions/_openrouter-cost
FISH      = share/fish/vendor_completions.d/openrouter-cost.fish

LUA_FILES = $(wildcard lua/openrouter/*.lua lua/openrouter/*/*.lua lua/openrouter/*/*/*.lua)
BENCHES   = $(wildcard bench/*/run)
LINT_LUA  = $(wildcard lua spec bin/openrouter-cost examples bench fuzz .ci/check-rockspec)
LINT_SH   = $(shell grep -lE '^\#!(/bin/sh|/usr/bin/env bash)' -r $(wildcard .ci bin spec/support examples bench fuzz))
LINT_C    = $(wildcard csrc/*.[ch] fuzz/*.[ch] spec/support/*.[ch] bench/*/*.c)
LINTS     = lint-lua lint-width lint-clang lint-analyzer lint-sh lint-rock lint-modules

.PHONY: all portable demo test sanitize asan bench soak lint install clean deps test-deps ci-deps bench-deps sandbox $(LINTS)
all: $(MODULES)
portable: build/portable-5.4/openrouter/core.so build/portable-5.1/openrouter/core.so

$(BUILD)/5.4/%.o: csrc/%.c Makefile
	@echo 'cc $@'; mkdir -p $(@D)
	@$(COMPILE) -I$(LUA_INCDIR) -c -o $@ $<

$(BUILD)/5.1/%.o: csrc/%.c Makefile
	@echo 'cc $@'; mkdir -p $(@D)
	@$(COMPILE) -I$(LUAJIT_INCDIR) -c -o $@ $<

build/portable-5.4/%.o: csrc/%.c Makefile
	@echo 'cc $@'; mkdir -p $(@D)
	@$(COMPILE) $(PORTABLE) -I$(LUA_INCDIR) -c -o $@ $<

build/portable-5.1/%.o: csrc/%.c Makefile
	@echo 'cc $@'; mkdir -p $(@D)
	@$(COMPILE) $(PORTABLE) -I$(LUAJIT_INCDIR) -c -o $@ $<

$(BUILD)/%/openrouter/core.so: $(addprefix $(BUILD)/%/,$(CORE_OBJECTS))
	@echo 'ld $@'; mkdir -p $(@D)
	@$(CC) -shared -pthread $(LDFLAGS) -o $@ $^ -lm

$(BUILD)/%/openrouter/curl.so: $(addprefix $(BUILD)/%/,$(CURL_OBJECTS) $(ENGINE_OBJECTS))
	@echo 'ld $@'; mkdir -p $(@D)
	@$(CC) -shared -pthread $(LDFLAGS) -o $@ $^ $(CURL_LIBS) -lm

-include $(OBJECTS:.o=.d) $(PORTABLE_OBJECTS:.o=.d)
-include fuzz/rules.mk

deps:
	@sh .ci/deps '$(PACKAGES)'

test-deps:
	@sh .ci/deps '$(PACKAGES) $(TEST_PACKAGES)'

ci-deps:
	@sh .ci/deps '$(PACKAGES) $(TEST_PACKAGES) $(CI_PACKAGES)'
bench-deps:
	@sh .ci/deps '$(PACKAGES) $(BENCH_PACKAGES)'

# Under -j too, nothing is compiled before the compiler is there.
demo sandbox soak: deps all
bench: bench-deps all
test: test-deps all
$(OBJECTS): | $(if $(filter demo sandbox soak,$(MAKECMDGOALS)),deps) $(if $(filter bench,$(MAKECMDGOALS)),bench-deps) $(if $(filter test lint%,$(MAKECMDGOALS)),test-deps)

demo:
	@examples/demo

sandbox:
	@exec examples/sandbox/run

test:
	@LUA='$(LUA)' LUAJIT='$(LUAJIT)' spec/support/run '$(LUAS)' $(SPEC)

# Modules that complain about every access to memory that is not theirs, and about undefined behaviour; and what is loaded into
# the processes that use them.
ASAN = -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer

asan: build/asan/watched.so
	@$(MAKE) --no-print-directory BUILD=build/asan CFLAGS='-O1 -g $(ASAN)' LDFLAGS='$(ASAN)' all

build/asan/watched.so: spec/support/watched.c Makefile
	@echo 'ld $@'; mkdir -p $(@D)
	@$(CC) -std=c99 -Wall -Wextra $(WERROR) -O1 -g -fPIC -shared -fvisibility=hidden -Wl,-z,nodelete -o $@ $< -ldl

sanitize: test-deps all asan
	@LUA='$(LUA)' LUAJIT='$(LUAJIT)' spec/support/sanitize '$(TOOLS)' '$(LUAS)' $(SPEC)

bench:
	@echo 'benchmarks: $(or $(BENCHES:bench/%/run=%),none yet)'
	@set -e; for run in $(BENCHES); do echo; echo "== $$run"; "$$run"; done

soak:
	@LUA_PATH="$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(CURDIR)/?.lua;;" LUA_CPATH="$(CURDIR)/build/5.4/?.so;;" \
	  $(LUA) spec/support/soak.lua --ids $(IDS)

lint: $(LINTS)
$(LINTS): | test-deps

lint-lua:
	luacheck --quiet --no-color $(LINT_LUA)

lint-width:
	@echo 'C lines of at most 130 columns'
	@! grep -nE '.{131}' $(LINT_C)

lint-clang:
	@echo clang -fsyntax-only
	@clang $(STRICT) -Icsrc -I$(LUA_INCDIR) $(CURL_CFLAGS) -fsyntax-only $(SOURCES) $(wildcard fuzz/*.c)
	@clang $(STRICT) -I$(LUAJIT_INCDIR) $(CURL_CFLAGS) -fsyntax-only $(SOURCES)

# Leaks, double frees, unchecked malloc. Not its NULL dereferences: it cannot know that luaL_error does not return.
lint-analyzer:
	@echo gcc -fanalyzer
	@status=0; for c in $(SOURCES); do \
	  gcc $(STRICT) -O2 -fanalyzer -Wno-analyzer-null-dereference -I$(LUA_INCDIR) $(CURL_CFLAGS) -c -o /dev/null $$c \
	    || status=1; \
	done; exit $$status

lint-sh:
	@echo sh -n
	@set -e; for script in $(LINT_SH); do sh -n $$script; done

lint-rock:
	luarocks lint lua-openrouter-scm-1.rockspec
	.ci/check-rockspec

lint-modules: all
	.ci/check-modules

$(BUILD)/$(MAN_PAGE): WORDS = man
$(BUILD)/$(BASH): WORDS = completion bash
$(BUILD)/$(ZSH): WORDS = completion zsh
$(BUILD)/$(FISH): WORDS = completion fish
$(addprefix $(BUILD)/,$(MAN_PAGE) $(BASH) $(ZSH) $(FISH)): $(MODULES) $(LUA_FILES) bin/openrouter-cost
	@echo 'write $@'; mkdir -p $(@D)
	@$(LUA) bin/openrouter-cost $(WORDS) >$@.tmp && mv $@.tmp $@

install: all $(addprefix $(BUILD)/,$(MAN_PAGE) $(BASH) $(ZSH) $(FISH))
	@set -e; for file in $(MAN_PAGE) $(BASH) $(ZSH) $(FISH); do install -D -m 644 $(BUILD)/$$file $(DESTDIR)$(PREFIX)/$$file; done
	@set -e; for abi in 5.4 5.1; do \
	  for file in $(LUA_FILES:lua/%=%); do install -D -m 644 lua/$$file $(DESTDIR)$(PREFIX)/share/lua/$$abi/$$file; done; \
	  for so in core.so curl.so; do \
	    install -D -m 755 build/$$abi/openrouter/$$so $(DESTDIR)$(PREFIX)/lib/lua/$$abi/openrouter/$$so; done; \
	done
	install -D -m 755 bin/openrouter-cost $(DESTDIR)$(PREFIX)/bin/openrouter-cost

# luarocks make builds in the tree, outside build/
clean:
	rm -rf build openrouter
	rm -f csrc/*.o
