# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# `make help` lists the targets. V=1 shows the commands; WERROR= lets warnings pass; T=NAME names a
# test (tests/run --list has them all).

ARCH := $(shell uname -m)
ifneq ($(ARCH),x86_64)
ifneq ($(MAKECMDGOALS),help)
$(error tmbpf knows x86-64 only; this machine is $(ARCH). There is nothing to build for it yet)
endif
endif

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
PROTOC_C ?= protoc-c
WERROR ?= -Werror

WARNINGS := -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
INCLUDES := -Iuser -Ibpf -Ivmlinux -I$(BUILD)
ifeq ($(SANITIZE),)
CFLAGS ?= -O2 -g -D_FORTIFY_SOURCE=2
else
CFLAGS ?= -O1 -g -fno-omit-frame-pointer
override CFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
override LDFLAGS += -fsanitize=$(SANITIZE)
endif
OWN_CFLAGS := -std=gnu11 -D_GNU_SOURCE -pthread -fPIE -fstack-protector-strong \
	$(WARNINGS) $(INCLUDES)
OWN_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed
LDLIBS := -lm -lbpf -ldw -lelf -lZydis -lprotobuf-c -lz -ljson-c -lseccomp -lcap
# Every kernel that tmbpf supports has the v3 instruction set (5.1 on).
BPF_CFLAGS := -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -std=gnu11 -g -O2 \
	-Wall -Wextra -Wno-unused-parameter $(WERROR) -Ivmlinux -Ibpf

BPF_SRC := $(wildcard bpf/*.bpf.c)
SKELS := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/%.skel.h)
PROTO := $(wildcard user/format/profile.proto)
PROTO_H := $(PROTO:user/format/%.proto=$(BUILD)/%.pb-c.h)
MAIN := $(wildcard user/command/main.c)
USER_SRC := $(filter-out $(MAIN),$(wildcard user/*/*.c user/*/*/*.c))
PAGE_SRC := $(filter-out %.S,$(wildcard user/format/html/*)) user/format/html/.npmrc
PAGE := $(BUILD)/html/head.html $(BUILD)/html/tail.html
USER_OBJ := $(USER_SRC:%.c=$(BUILD)/%.o) $(PROTO_H:.h=.o) $(BUILD)/html/page.o
MAIN_OBJ := $(MAIN:%.c=$(BUILD)/%.o)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT := $(UNIT_SRC:%.c=$(BUILD)/%)
UNIT_SUPPORT := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
FUZZ := $(patsubst %,$(BUILD)/fuzz/%,gzip pprof pprof_info wire tracemalloc)
# What snapshot files go through.
FUZZ_SRC := $(wildcard user/base/*.c user/snapshot/*.c user/format/*.c) tests/fuzz/targets.c
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(BUILD)/%.o) $(PROTO_H:.h=.o)
LIB := $(BUILD)/libtmbpf.a
TMBPF := $(MAIN:user/command/main.c=$(BUILD)/tmbpf)

# As one word of a shell.
TEST := $(if $(T),'$(subst ','\'',$(T))')

ifeq ($(V),1)
Q :=
say =
else
Q := @
say = @printf '  %-8s %s\n' '$(1)' '$(2)';
MAKEFLAGS += --no-print-directory
endif

.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.PHONY: all demo check check-all unit bats parity builds vmtest containertest endurance asan bench \
	lint install clean help
.PHONY: unit-programs asan-programs fuzz fuzz-programs generated again

all: $(LIB) $(TMBPF) ## build build/tmbpf (the default)

demo: ## install what is missing, build, and find a leak in a bundled program (root)
	$(Q)scripts/demo

check: ## install what is missing, build, and run the tests in short (root); T=NAME: that test alone
	$(Q)scripts/check $(TEST)

check-all: ## the same, all tests on all interpreters, in hours; see docs/check-all.md
	$(Q)scripts/check --all $(TEST)

unit: unit-programs ## run the unit tests
	$(Q)tests/run unit

bats: all ## run the command tests (root)
	$(Q)tests/run bats

parity: all ## hold tmbpf against tracemalloc on every interpreter found (root)
	$(Q)tests/run --all parity blocks modes

builds: all ## the same on the CPythons of scripts/pythons and scripts/uv-pythons (root)
	$(Q)tests/run --all builds

vmtest: all ## boot Debian's kernels 5.10, 6.1, 6.12 and 7 under qemu, and trace in each (root)
	$(Q)tests/vm/run

containertest: all ## trace in containers of runc's and podman's, from outside (root)
	$(Q)scripts/roots >/dev/null
	$(Q)tests/containers/run --tmbpf $(TMBPF)

endurance: all ## 50 processes at once, half an hour that come and go, 100 killed tracers (root)
	$(Q)tests/endurance/run --long --tmbpf $(TMBPF)

asan: asan-programs ## run the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(Q)tests/run asan

fuzz: ## install what is missing, and fuzz the readers of files, each FUZZ_SECONDS (60)
	$(Q)scripts/deps build fuzz
	$(Q)$(MAKE) BUILD=build-fuzz CC=$(CLANG) SANITIZE=fuzzer-no-link,address,undefined \
		fuzz-programs
	$(Q)tests/fuzz/run

bench: all ## measure rates, traps, latency, memory, work on snapshots and censuses (root)
	$(Q)tests/bench/run
	$(Q)tests/bench/snapshots
	$(Q)tests/bench/heap
	$(Q)tests/bench/traps
	$(Q)tests/bench/operations
	$(Q)tests/bench/refills
	$(Q)tests/bench/default

lint: ## formatting, static analysis, layout borders
	$(Q)scripts/lint

install: all ## install under PREFIX (/usr/local), into DESTDIR
	$(Q)install -D -m 755 $(BUILD)/tmbpf $(DESTDIR)$(PREFIX)/bin/tmbpf
	$(Q)install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/tmbpf LICENSE LICENSE.*
	$(Q)install -d -m 755 $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(Q)sed 's|@BINDIR@|$(PREFIX)/bin|' systemd/tmbpf@.service.in \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/tmbpf@.service

clean: ## remove what was built
	$(Q)rm -rf build build-asan build-fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

# What scripts/lint needs.
generated: $(SKELS) $(PROTO_H)

# What tests/run runs.
unit-programs: $(UNIT)

asan-programs:
	$(Q)$(MAKE) BUILD=build-asan SANITIZE=address,undefined unit-programs

fuzz-programs: $(FUZZ)

$(LIB): $(USER_OBJ)
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@.new && $(AR) rcs $@.new $(USER_OBJ) && mv $@.new $@

$(BUILD)/tmbpf: $(MAIN_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(OWN_LDFLAGS) $(LDFLAGS) -o $@ $(MAIN_OBJ) $(LIB) $(LDLIBS)

$(UNIT): %: %.o $(UNIT_SUPPORT) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(OWN_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) -lcmocka $(LDLIBS)

# What the fuzzer is given, given to the same functions.
$(BUILD)/tests/unit/test_fuzz_corpus: $(BUILD)/tests/fuzz/targets.o
$(BUILD)/tests/unit/test_fuzz_corpus.o: CPPFLAGS += -DFUZZ_CORPUS='"$(CURDIR)/tests/fuzz/corpus"'

# Of an archive, a program has what it needs alone.
$(BUILD)/fuzz/libfuzz.a: $(FUZZ_OBJ)
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $(FUZZ_OBJ)

$(FUZZ): $(BUILD)/fuzz/%: tests/fuzz/main.c $(BUILD)/fuzz/libfuzz.a
	$(call say,FUZZ,$@)
	$(Q)$(CC) $(OWN_CFLAGS) $(CFLAGS) $(OWN_LDFLAGS) $(LDFLAGS) -fsanitize=fuzzer \
		-DFUZZ_TARGET=fuzz_$* -o $@ $< $(BUILD)/fuzz/libfuzz.a $(LDLIBS)

$(BUILD)/%.o: %.c Makefile | $(SKELS) $(PROTO_H)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(OWN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.pb-c.c $(BUILD)/%.pb-c.h &: user/format/%.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(BUILD)
	$(Q)$(PROTOC_C) --c_out=$(BUILD) -Iuser/format $<

$(BUILD)/%.pb-c.o: $(BUILD)/%.pb-c.c $(BUILD)/%.pb-c.h
	$(call say,CC,$@)
	$(Q)$(CC) $(OWN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# An empty page says that html was left out: tried again by each make.
$(PAGE) &: $(PAGE_SRC) $(if $(wildcard $(PAGE)),$(if $(shell find $(PAGE) -empty),again))
	$(call say,HTML,$(BUILD)/html)
	$(Q)user/format/html/build $(BUILD)/html

$(BUILD)/html/page.o: user/format/html/page.S $(PAGE)
	$(call say,AS,$@)
	$(Q)$(CC) -c -Wa,-I$(BUILD) -o $@ $<

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/%.linked.o: $(BUILD)/bpf/%.bpf.o
	$(Q)$(BPFTOOL) gen object $@ $<
	@readelf -sW $< | awk '$$4 == "FUNC" { print $$3, $$8 }' | while read -r bytes name; do \
		printf '  INSNS    %6d %s\n' $$((bytes / 8)) "$$name"; done

$(BUILD)/%.skel.h: $(BUILD)/bpf/%.linked.o
	$(call say,SKEL,$@)
	$(Q){ echo '/* NOLINTBEGIN: generated */' && $(BPFTOOL) gen skeleton $< name $*_bpf && \
		echo '/* NOLINTEND */'; } >$@

-include $(wildcard $(USER_OBJ:.o=.d) $(MAIN_OBJ:.o=.d) $(UNIT:=.d) $(UNIT_SUPPORT:.o=.d) \
	$(BPF_SRC:%.c=$(BUILD)/%.d) $(BUILD)/tests/fuzz/targets.d)
