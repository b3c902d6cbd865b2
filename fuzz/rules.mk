# Coverage-guided fuzzing, part of the Makefile. fuzz/README.md says what each target checks.
#
#   build/fuzz/TARGET    with clang's libFuzzer: `make fuzz` runs it
#   build/replay/TARGET  with $(CC), for inputs in files: spec/fuzz_spec.lua runs it

FUZZ_SECONDS  = 60
FUZZ_TARGETS  = decode scanner http1
FUZZ_CC       = clang
FUZZ_PACKAGES = clang libclang-rt-14-dev|libclang-rt-19-dev binutils liblua5.4-dev

SANITIZE     = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_COMPILE = $(STRICT) $(SANITIZE) -Icsrc -I$(LUA_INCDIR) -pthread -MMD -MP
FUZZ_LIBS    = -llua5.4 -lm

# the decoder once more, without its fast paths
FUZZ_SIMPLE  = $(addprefix csrc/,json.c record.c fields.c money.c spend.c) fuzz/summary.c
SIMPLE_FLAGS = $(addprefix -DOPENROUTER_NO_,SSE2 WORDS PREDICTION FIELD_HASH FAST_NUMBERS)

# $(1): folder, $(2): compiler and flags, $(3): what has main
define fuzz_rules
$(1)/core/%.o: csrc/%.c Makefile fuzz/rules.mk
	@mkdir -p $$(@D)
	@$(2) $$(FUZZ_COMPILE) -c -o $$@ $$<

$(1)/%.o: fuzz/%.c Makefile fuzz/rules.mk
	@mkdir -p $$(@D)
	@$(2) $$(FUZZ_COMPILE) -c -o $$@ $$<

$(1)/simple/%.o: %.c Makefile fuzz/rules.mk
	@mkdir -p $$(@D)
	@$(2) $$(FUZZ_COMPILE) $$(SIMPLE_FLAGS) -c -o $$@ $$<

$(1)/core.a: $$(CORE_OBJECTS:%=$(1)/core/%)
	@rm -f $$@; ar rcs $$@ $$^

# every name that it defines gets "simple_" before it
$(1)/simple.o: $$(FUZZ_SIMPLE:%.c=$(1)/simple/%.o)
	@nm --defined-only --extern-only --format=posix $$^ | awk 'NF > 1 { print $$$$1, "simple_" $$$$1 }' | sort -u >$(1)/simple/names
	@ld -r -o $$@ $$^ && objcopy --redefine-syms=$(1)/simple/names $$@

$(1)/decode: $(1)/decode.o $(1)/summary.o $(1)/simple.o
$(FUZZ_TARGETS:%=$(1)/%): $(1)/%: $(1)/%.o $(1)/core.a $(3)
	@echo 'ld $$@'
	@$(2) $$(SANITIZE) -o $$@ $$(filter %.o,$$^) $(1)/core.a $$(FUZZ_LIBS)

-include $$(wildcard $(1)/*.d $(1)/*/*.d $(1)/*/*/*.d)
endef
$(eval $(call fuzz_rules,build/fuzz,$$(FUZZ_CC) $$(if $$(filter %.c,$$<),-fsanitize=fuzzer-no-link,-fsanitize=fuzzer),))
$(eval $(call fuzz_rules,build/replay,$$(CC),build/replay/replay.o))

.PHONY: fuzz fuzz-deps replay
.SECONDARY:
replay: $(FUZZ_TARGETS:%=build/replay/%)
fuzz: fuzz-deps $(FUZZ_TARGETS:%=build/fuzz/%)
	@fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

fuzz-deps:
	@sh .ci/deps '$(PACKAGES) $(FUZZ_PACKAGES)'

ifneq ($(filter fuzz,$(MAKECMDGOALS)),)  # under -j too, nothing is compiled before the compiler is there
$(CORE_OBJECTS:%=build/fuzz/core/%) $(FUZZ_SIMPLE:%.c=build/fuzz/simple/%.o) $(FUZZ_TARGETS:%=build/fuzz/%.o): | fuzz-deps
build/fuzz/summary.o: | fuzz-deps
endif
