// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Loads the BPF programs, attaches the probes, and turns tracing on and off. */
#include "trace/tracer/tracer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/reference_process.h"
#include "trace/tracer/config.h"
#include "trace/attach/kernel.h"
#include "trace/tracer/sweep.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

/*
 * The end of libbpf's messages, for the error of a load that fails: the verifier's verdict comes
 * last.
 */
static char load_log[2048];

static int load_log_print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	cleanup_free char *text = NULL;
	size_t used = strlen(load_log), length, room;

	if (level != LIBBPF_WARN || vasprintf(&text, format, arguments) < 0)
		return 0;
	length = strlen(text);
	if (length >= sizeof(load_log)) {
		text[length] = 0;
		memmove(load_log, text + length - (sizeof(load_log) - 1), sizeof(load_log));
		return 0;
	}
	room = sizeof(load_log) - 1 - length;
	if (used > room) {
		memmove(load_log, load_log + used - room, room + 1);
		used = room;
	}
	memcpy(load_log + used, text, length + 1);
	return 0;
}

static struct error *programs_load(struct tracer *tracer)
{
	struct kernel_features features;
	struct tmbpf_bpf *skeleton;
	struct tmbpf_config *config;
	bool returns;

	kernel_features_probe(&features);
	if (probes_way() == PROBES_NONE)
		return error_advise(
			error_create_errno(ERROR_FAILED,
					   features.bpf ? features.uprobe_events_errno
							: features.bpf_errno,
					   "cannot use %s on this kernel or with these privileges",
					   features.bpf ? "uprobes" : "BPF programs"),
			"Run as root on Linux 5.10 or later; "
			"`tmbpf doctor` shows what is missing.");
	/*
	 * These programs change entries without atomic instructions, and user space exchanges them.
	 */
	if (!features.loops && tracer->options.mode == TMBPF_MODE_LAZY)
		return error_create(ERROR_FAILED, "--lazy-free needs Linux 5.17 or later");
	load_log[0] = 0;
	libbpf_set_print(load_log_print);
	tracer->skeleton = skeleton = features.loops ? tmbpf_bpf__open() : tracer_plain_open();
	if (!skeleton)
		return error_create_errno(ERROR_FAILED, errno, "cannot open the BPF programs");
	config = (struct tmbpf_config *)&skeleton->rodata->cfg;
	try(config_fill(tracer->python, tracer->plan, tracer->sites, config));
	config->nframe = tracer->options.nframe;
	config->by_address = probes_way() == PROBES_EVENTS;
	/* The programs for older kernels have none of this. */
	returns = features.uprobe_session && features.loops && sites_want_returns(tracer->sites);
	config->return_probes = returns && tracer->options.mode != TMBPF_MODE_SAMPLED;
	try(tracer_maps_size(tracer, &features, config));
	bpf_program__set_expected_attach_type(skeleton->progs.probe, probes_attach_type(false));
	bpf_program__set_expected_attach_type(skeleton->progs.probe_session,
					      probes_attach_type(true));
	bpf_program__set_autoload(skeleton->progs.probe_session, config->return_probes);
	config->large_returns = returns && tracer->options.mode == TMBPF_MODE_SAMPLED;
	bpf_program__set_expected_attach_type(skeleton->progs.probe_large,
					      probes_attach_type(false));
	bpf_program__set_expected_attach_type(skeleton->progs.probe_large_session,
					      probes_attach_type(true));
	bpf_program__set_autoload(skeleton->progs.probe_large,
				  tracer->options.mode == TMBPF_MODE_SAMPLED);
	bpf_program__set_autoload(skeleton->progs.probe_large_session, config->large_returns);
	bpf_program__set_autoload(skeleton->progs.page_fault,
				  tracer->options.mode == TMBPF_MODE_SAMPLED);
	if (tmbpf_bpf__load(skeleton)) {
		int number = errno;

		return error_advise(
			error_create_errno(ERROR_FAILED, number, "cannot load the BPF programs: %s",
					   load_log),
			"`tmbpf doctor` shows what this kernel and these privileges allow.");
	}
	return NULL;
}

static struct error *maps_fill(struct tracer *tracer)
{
	struct tmbpf_bpf *skeleton = tracer->skeleton;

	skeleton->bss->state.next_stack = TMBPF_STACK_FIRST;
	try(tracer_table_map(skeleton->maps.stacks, &tracer->stacks));
	try(tracer_table_map(skeleton->maps.stats, &tracer->stats));
	try(tracer_table_map(skeleton->maps.recycled, &tracer->recycled));
	try(tracer_table_map(skeleton->maps.chunks, &tracer->chunks));
	try(tracer_table_map(skeleton->maps.window_allocations, &tracer->window_allocations));
	try(sites_store(tracer->sites, 0, bpf_map__fd(skeleton->maps.sites),
			bpf_map__fd(skeleton->maps.addresses)));
	return tracer_grow(tracer);
}

struct error *tracer_group_attach(struct tracer *tracer, size_t group, pid_t pid,
				  struct probes_link *ret)
{
	const struct tmbpf_bpf *skeleton = tracer->skeleton;
	struct probes probes;

	sites_group(tracer->sites, group, &probes);
	/* Tail jumps go to the session program, if there is one. */
	probes.session &= skeleton->rodata->cfg.return_probes;
	return probes_attach(bpf_program__fd(probes.session ? skeleton->progs.probe_session
							    : skeleton->progs.probe),
			     &probes, pid, ret);
}

/* Attaches the groups from FIRST on. */
static struct error *groups_attach(struct tracer *tracer, size_t first)
{
	size_t count = sites_group_count(tracer->sites);
	struct probes_link *links;

	if (tracer->options.mode == TMBPF_MODE_SAMPLED)
		return NULL; /* only during a sampling window */
	links = realloc(tracer->links, (count + 1) * sizeof(*links));
	if (!links)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	tracer->links = links;
	for (size_t i = first; i < count; i++) {
		try(tracer_group_attach(tracer, i, tracer->process->pid,
					&tracer->links[tracer->link_count]));
		tracer->link_count++;
	}
	return NULL;
}

static struct error *attach(struct tracer *tracer)
{
	try(tracer_headroom_check(tracer, 0));
	try(groups_attach(tracer, 0));
	try(sites_store_returns(tracer->sites, 0, bpf_map__fd(tracer->skeleton->maps.returns)));
	try(tracer_plain_attach(tracer));
	tracer->exec_link = bpf_program__attach(tracer->skeleton->progs.process_exec);
	if (!tracer->exec_link)
		return error_create_errno(ERROR_FAILED, errno, "cannot watch for exec");
	tracer->fork_link = bpf_program__attach(tracer->skeleton->progs.process_fork);
	if (!tracer->fork_link)
		return error_create_errno(ERROR_FAILED, errno, "cannot watch for fork");
	return NULL;
}

/*
 * Probes the groups from FIRST on, whose records are from COUNT on. The places of return are told
 * last: what returns to one of them is not looked for elsewhere.
 */
static struct error *groups_add(struct tracer *tracer, size_t first, uint32_t count)
{
	struct tmbpf_bpf *skeleton = tracer->skeleton;

	if (sites_count(tracer->sites) > bpf_map__max_entries(skeleton->maps.sites))
		return error_create(ERROR_FAILED, "too many probe sites were added while tracing");
	try(sites_store(tracer->sites, count, bpf_map__fd(skeleton->maps.sites),
			bpf_map__fd(skeleton->maps.addresses)));
	try(tracer_headroom_check(tracer, first));
	try(groups_attach(tracer, first));
	return sites_store_returns(tracer->sites, count, bpf_map__fd(skeleton->maps.returns));
}

struct error *tracer_hooks(struct tracer *tracer)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	size_t groups = sites_group_count(tracer->sites);
	uint32_t count = sites_count(tracer->sites);
	bool added;

	try(sites_rehook(tracer->sites, tracer->python, tracer->plan, &added));
	if (!added)
		return NULL;
	__atomic_fetch_add(&state->losses[TMBPF_LOSS_HOOKS_CHANGED], 1, __ATOMIC_SEQ_CST);
	try(groups_add(tracer, groups, count));
	__atomic_store_n(&state->hooked_later, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool is_open(const struct tracer *tracer)
{
	return __atomic_load_n(&tracer->skeleton->bss->state.tracing, __ATOMIC_SEQ_CST);
}

struct error *tracer_modules(struct tracer *tracer)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	uint64_t unknown =
		state->events[TMBPF_EVENT_RETURN] + state->losses[TMBPF_LOSS_RESULT_UNKNOWN];
	size_t groups = sites_group_count(tracer->sites);
	uint32_t count = sites_count(tracer->sites);

	if (unknown == tracer->returns_unknown || !is_open(tracer) ||
	    tracer->options.mode == TMBPF_MODE_SAMPLED)
		return NULL;
	tracer->returns_unknown = unknown;
	try(sites_modules(tracer->sites, tracer->python));
	if (sites_group_count(tracer->sites) == groups)
		return NULL;
	return groups_add(tracer, groups, count);
}

static struct error *tracer_start(struct tracer *tracer)
{
	uint64_t rss, anonymous = 0;

	if (tracer->options.reference)
		try(python_create_by_reference(tracer->process, tracer->options.reference,
					       &tracer->python));
	else
		try(python_create(tracer->process, &tracer->python));
	try(plan_load(tracer->python, &tracer->plan));
	try(sites_create(tracer->python, tracer->plan, tracer->options.mode == TMBPF_MODE_LAZY,
			 &tracer->sites));
	try(process_resident(tracer->process, &rss, &anonymous));
	/* A heap that is there already hands out memory wherever it has room. */
	tracer->initial_slabs = anonymous >> 22;
	try(programs_load(tracer));
	try(maps_fill(tracer));
	try(tracer_ring_create(tracer));
	return attach(tracer);
}

/*
 * Before Linux 5.11 maps count as locked memory. Each slab has a descriptor (16,384 for 64 GiB),
 * and each thread may have one.
 */
static void limits_raise(void)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit files;

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

struct error *tracer_create(struct process *process, const struct tracer_options *options,
			    struct tracer **ret)
{
	struct tracer *tracer = calloc(1, sizeof(*tracer));
	struct error *error;

	if (!tracer)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace process %d",
					  process->pid);
	tracer->process = process;
	tracer->options = *options;
	/*
	 * In sampling mode allocations are listed, and nothing is kept of the blocks that are held.
	 */
	if (options->mode == TMBPF_MODE_SAMPLED)
		tracer->options.slab_limit = tracer->options.raw_limit = 0;
	limits_raise();
	error = tracer_start(tracer);
	if (error) {
		tracer_destroy(tracer);
		return error;
	}
	*ret = tracer;
	return NULL;
}

void tracer_detach(struct tracer *tracer)
{
	if (tracer->skeleton && tracer->skeleton->bss)
		tracer_close(tracer);
	for (size_t i = 0; i < tracer->link_count; i++)
		probes_detach(&tracer->links[i]);
	tracer->link_count = 0;
	tracer_faults_close(tracer);
	tracer_large_detach(tracer);
	bpf_link__destroy(tracer->exec_link);
	bpf_link__destroy(tracer->fork_link);
	tracer->exec_link = tracer->fork_link = NULL;
}

void tracer_destroy(struct tracer *tracer)
{
	if (!tracer)
		return;
	tracer_detach(tracer);
	free(tracer->links);
	ring_buffer__free(tracer->ring);
	tracer_table_unmap(&tracer->stacks);
	tracer_table_unmap(&tracer->stats);
	tracer_table_unmap(&tracer->recycled);
	tracer_table_unmap(&tracer->chunks);
	while (tracer->slab_count)
		close(tracer->slab_fds[--tracer->slab_count]);
	free(tracer->slab_fds);
	sweep_destroy(tracer->sweep);
	free(tracer->slab_addresses);
	free(tracer->ended);
	tracer_table_unmap(&tracer->window_allocations);
	tmbpf_bpf__destroy(tracer->skeleton);
	sites_destroy(tracer->sites);
	plan_destroy(tracer->plan);
	python_destroy(tracer->python);
	free(tracer);
}

void tracer_open(struct tracer *tracer)
{
	__atomic_store_n(&tracer->skeleton->bss->state.tracing, 1, __ATOMIC_SEQ_CST);
}

void tracer_close(struct tracer *tracer)
{
	__atomic_store_n(&tracer->skeleton->bss->state.tracing, 0, __ATOMIC_SEQ_CST);
}

struct error *tracer_grow(struct tracer *tracer)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	uint32_t used = __atomic_load_n(&state->next_slab, __ATOMIC_SEQ_CST),
		 ready = state->ready_slabs;
	uint64_t want = used + TMBPF_SLABS_SPARE + (ready ? 0 : tracer->initial_slabs);

	if (want > tracer->options.slab_limit)
		want = tracer->options.slab_limit;
	if (ready >= used + TMBPF_SLABS_SPARE / 2 || want <= ready)
		return NULL;
	try(tracer_slabs_add(tracer, want - ready));
	__atomic_store_n(&state->ready_slabs, (uint32_t)want, __ATOMIC_SEQ_CST);
	return NULL;
}

struct error *tracer_clear(struct tracer *tracer)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	cleanup_free void *zeros = calloc(TMBPF_SLAB_ENTRIES, sizeof(uint32_t));
	uint32_t zero = 0;

	if (!zeros)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot clear");
	/* An update of the map of maps waits for all programs that still saw tracing turned on. */
	if (state->ready_slabs < tracer->options.slab_limit) {
		try(tracer_slabs_add(tracer, 1));
		state->ready_slabs++;
	} else {
		usleep(100000);
	}
	for (uint32_t i = 0; i < state->next_slab && i < tracer->slab_count; i++) {
		if (bpf_map_update_elem(tracer->slab_fds[i], &zero, zeros, BPF_ANY))
			return error_create_errno(ERROR_FAILED, errno, "cannot clear the shadow");
	}
	tracer_hash_clear(bpf_map__fd(tracer->skeleton->maps.raw_blocks));
	tracer_hash_clear(bpf_map__fd(tracer->skeleton->maps.codes));
	tracer_hash_clear(bpf_map__fd(tracer->skeleton->maps.forked));
	memset(tracer->stacks.data, 0, tracer->stacks.size);
	memset(tracer->stats.data, 0, tracer->stats.size);
	memset(tracer->skeleton->bss->handed, 0, sizeof(tracer->skeleton->bss->handed));
	tracer->skeleton->bss->refill.active = 0;
	state->next_stack = TMBPF_STACK_FIRST;
	state->recycled_head = state->recycled_tail = 0;
	state->current = state->peak = state->unknown_frees = state->missed_code_ends = 0;
	state->returned_stack = state->leaked_stacks = 0;
	memset(state->events, 0, sizeof(state->events));
	memset(state->losses, 0, sizeof(state->losses));
	return NULL;
}

const struct python *tracer_python(const struct tracer *tracer)
{
	return tracer->python;
}

void tracer_heap_found(struct tracer *tracer, const struct python *found)
{
	tracer->python->heap = found->heap;
}

const struct plan *tracer_plan(const struct tracer *tracer)
{
	return tracer->plan;
}

bool tracer_is_lazy(const struct tracer *tracer)
{
	return tracer->skeleton->rodata->cfg.mode == TMBPF_MODE_LAZY;
}

uint32_t tracer_hook_extra(const struct tracer *tracer)
{
	return tracer->skeleton->rodata->cfg.hook_extra;
}
