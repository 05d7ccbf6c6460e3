// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Limits what the sampler keeps: what goes is chosen by chance, and what stays stands for it. */
#include "base/random.h"
#include "trace/sampling/sampler_internal.h"

_Static_assert(SAMPLER_TRACKED_MAX >= SAMPLER_WINDOWS_MAX, "each window has room for a survivor");

void sampler_windows_thin(struct sampler *sampler)
{
	uint32_t odd = random_share(&sampler->random) < 0.5;
	size_t kept = 0, windows = sampler->window_count / 2;

	for (size_t i = 0; i < windows; i++) {
		struct window *window = &sampler->windows[2 * i + odd];
		uint64_t from = sampler->windows[2 * i].window.from;
		uint64_t to = sampler->windows[2 * i + 1].window.to;

		sampler->windows[i] = *window;
		sampler->windows[i].window.from = from;
		sampler->windows[i].window.to = to;
	}
	sampler->window_count = windows;
	for (size_t i = 0; i < sampler->tracked_count; i++) {
		struct tracked block = sampler->tracked[i];

		if (block.window % 2 != odd || block.window / 2 >= windows)
			continue;
		block.window /= 2;
		sampler->tracked[kept++] = block;
	}
	sampler->tracked_count = kept;
	/* There is room again. */
	if (sampler->survivors_most < SAMPLER_SURVIVORS_MAX)
		sampler->survivors_most *= 2;
}

/*
 * Keeps a random sample of MOST blocks of each window, alive or not. They stand for all that were
 * tracked.
 */
static void survivors_thin(struct sampler *sampler, size_t most)
{
	size_t kept = 0, next;

	for (size_t first = 0; first < sampler->tracked_count; first = next) {
		uint32_t window = sampler->tracked[first].window;
		size_t left, wanted;

		for (next = first; next < sampler->tracked_count; next++)
			if (sampler->tracked[next].window != window)
				break;
		left = next - first;
		wanted = left < most ? left : most;
		sampler->windows[window].scale *= (double)left / (double)wanted;
		for (size_t i = first; i < next; i++) {
			if (random_share(&sampler->random) * (double)left-- >= (double)wanted)
				continue;
			wanted--;
			sampler->tracked[kept++] = sampler->tracked[i];
		}
	}
	sampler->tracked_count = kept;
}

size_t sampler_survivors_room(struct sampler *sampler, size_t alive)
{
	size_t most = alive < sampler->survivors_most ? alive : sampler->survivors_most;

	while (sampler->tracked_count + most > SAMPLER_TRACKED_MAX && sampler->survivors_most > 1) {
		sampler->survivors_most /= 2;
		survivors_thin(sampler, sampler->survivors_most);
		if (most > sampler->survivors_most)
			most = sampler->survivors_most;
	}
	return most;
}
