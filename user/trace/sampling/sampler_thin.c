// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/random.h"
#include "trace/sampling/sampler_internal.h"

_Static_assert(BURST_FOLLOWED_MAX >= BURST_WINDOWS_MAX, "each window has room for a survivor");

void burst_windows_thin(struct burst *burst)
{
	uint32_t odd = random_share(&burst->random) < 0.5;
	size_t kept = 0, windows = burst->window_count / 2;

	for (size_t i = 0; i < windows; i++) {
		struct window *window = &burst->windows[2 * i + odd];
		uint64_t from = burst->windows[2 * i].window.from;
		uint64_t to = burst->windows[2 * i + 1].window.to;

		burst->windows[i] = *window;
		burst->windows[i].window.from = from;
		burst->windows[i].window.to = to;
	}
	burst->window_count = windows;
	for (size_t i = 0; i < burst->followed_count; i++) {
		struct followed block = burst->followed[i];

		if (block.window % 2 != odd || block.window / 2 >= windows)
			continue;
		block.window /= 2;
		burst->followed[kept++] = block;
	}
	burst->followed_count = kept;
	/* There is room again. */
	if (burst->survivors_most < BURST_SURVIVORS_MAX)
		burst->survivors_most *= 2;
}

/* Of each window a random sample of MOST stays, alive or not, and stands for all that were followed. */
static void survivors_thin(struct burst *burst, size_t most)
{
	size_t kept = 0, next;

	for (size_t first = 0; first < burst->followed_count; first = next) {
		uint32_t window = burst->followed[first].window;
		size_t left, wanted;

		for (next = first; next < burst->followed_count; next++)
			if (burst->followed[next].window != window)
				break;
		left = next - first;
		wanted = left < most ? left : most;
		burst->windows[window].scale *= (double)left / (double)wanted;
		for (size_t i = first; i < next; i++) {
			if (random_share(&burst->random) * (double)left-- >= (double)wanted)
				continue;
			wanted--;
			burst->followed[kept++] = burst->followed[i];
		}
	}
	burst->followed_count = kept;
}

size_t burst_survivors_room(struct burst *burst, size_t alive)
{
	size_t most = alive < burst->survivors_most ? alive : burst->survivors_most;

	while (burst->followed_count + most > BURST_FOLLOWED_MAX && burst->survivors_most > 1) {
		burst->survivors_most /= 2;
		survivors_thin(burst, burst->survivors_most);
		if (most > burst->survivors_most)
			most = burst->survivors_most;
	}
	return most;
}
