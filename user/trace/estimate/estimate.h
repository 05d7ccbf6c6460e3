/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What each traceback holds and how much it grows. It is estimated from short sampling windows in
 * which every allocation was seen, and from exact totals of the heap (the census). Pure arithmetic.
 *
 * The sample. Time since the start is cut into intervals. Each interval has one window at a random
 * place, every place being equally likely. So each moment lies in a window with a known
 * probability, whatever the process does periodically. A block that was allocated in a window
 * stands for as many blocks as the interval is longer than the window (its weight): the
 * Horvitz-Thompson estimator. The sample consists of windows, not of blocks: all that was allocated
 * in one window is one observation (cluster sampling).
 *
 * Held. What a traceback holds is the weighted sum of its survivors: the blocks that were allocated
 * in windows and are alive now.
 *
 * Growth. A steady process too holds blocks that were allocated since the start: they replaced
 * others that died. So growth is what is going to stay. Each survivor of a traceback counts by its
 * chance to reach the horizon, which is half of the time observed (Kaplan-Meier, from the deaths of
 * all survivors of the traceback so far). A survivor that is older has reached it. Then the sums of
 * each class (the blocks of one type and size) are calibrated to the growth of that class, which
 * the census knows exactly:
 *
 *	growth below what stays     what stays is scaled down to it
 *	growth above what stays     of what may yet die, as much counts as is missing
 *	growth above all survivors  survivors are scaled up to it
 *	no growth                   nothing of this class grows
 *
 * Growth beyond all survivors that cannot be chance (three errors) was allocated where no window
 * looks. That part has no traceback.
 *
 * Slowdown. Traps slow down who allocates. A process without time to spare does less in a window
 * than in as much time elsewhere, so what windows saw stands for more than their length says. The
 * heap tells how much more. Some classes have every allocation seen by windows, so their growth has
 * no other source. Where all these classes together grew by more than all that was allocated in
 * them, and not by chance, the weight of windows is raised by as much as what stays falls short of
 * that growth. It is raised for all classes, since the process is one.
 *
 * Phantoms. Whether blocks are alive is looked up from time to time. If a block died and another
 * one that nothing tells from it (fingerprint.h, fingerprint_words.h) took its address, it passes
 * for alive. But later windows see such allocations. They give the rate at which a traceback's
 * survivors are replaced, and survivors are discounted by exp(-rate * age).
 *
 * Errors are standard errors, times Student's factor for few windows. For weighted sums they come
 * from successive differences of the windows: these include a trend and, as each interval has one
 * window, err on the large side. For calibrated figures they come from the linearised residuals. As
 * a traceback may have missed all windows, a share of 1 / (windows with survivors of it + 1) is
 * added. What windows do not tell is added by squares:
 *
 *	held	what lives less than an interval: its mean, as survivors of the last window stand
 *		for far too much of it and no survivors for nothing; if there are none, also
 *		what lives longer and what was allocated since the last window
 *	growth	how much what dies fluctuates by chance; how much the class does, by the square
 *		root of the traceback's part in it; if the class shrinks, by its part in that;
 *		half of what stays although the class does not grow by it: it may be growth that
 *		is offset by what others lost, or none
 *
 * A traceback's part in a class is what it held of it on average over the time observed, alive or
 * not by now. So what is estimated to be 0 has an error too, and in a class that shrinks a great
 * one. A traceback is shown to grow if its growth exceeds twice its error and four times the
 * class's own fluctuation, and if three windows saw it, two of them older than the horizon.
 *
 * Bias. What is seen in no window is not reported: see `unseen`. A block that dies between two
 * looks is taken to die at the second. If habits change within the time observed, the chances to
 * reach the horizon are those of the mean. If windows slow down a process in which nothing grows,
 * it holds more of what was allocated since the start than is reported, by as much as it is slowed
 * down. A class that shrinks as a whole hides a traceback that grows in it. If one traceback's
 * blocks replace another's of the same type and size, and both live longer than half of the time
 * observed, the growth is shared between them. If blocks of a traceback soon die and make place for
 * another's that stay, and nothing tells them apart, the former seems to grow by what the latter
 * does. In simulated processes (tests/unit/test_estimate.c) the mean over seeds of what leaks is
 * within 1 % of the truth, beside blocks of the same type and size that live for half a second.
 */
#ifndef TMBPF_TRACE_ESTIMATE_ESTIMATE_H
#define TMBPF_TRACE_ESTIMATE_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What fewer windows saw is not known to go on. */
#define ESTIMATE_WINDOWS_LEAST 3

struct error;

#define ESTIMATE_ALIVE UINT64_MAX

/* Times are monotonic nanoseconds. */
struct estimate_window {
	uint64_t start, end;
	uint64_t from, to; /* the interval that it stands for */
};

/*
 * Blocks of one traceback and class that were allocated in one window, were alive at its end, and
 * have one fate.
 */
struct estimate_item {
	uint32_t window, traceback, class;
	double count, size; /* SIZE: bytes asked for; for a sample, the bytes that it stands for */
	uint64_t died;      /* when they were first found dead; ESTIMATE_ALIVE: they live */
	bool replaced; /* a later window saw an allocation at their address, so they were dead */
};

struct estimate_class {   /* the blocks of one type and size, by the census */
	bool by_size;     /* sizes differ: what follows is in bytes, otherwise in blocks */
	bool probed;      /* windows see each allocation of it */
	double total;     /* now */
	double growth;    /* since the start; may be negative */
	double noise;     /* standard error of growth as a trend: how much the total fluctuates */
	double unit_size; /* bytes that a block of the class takes; 1 with by_size */
};

struct estimate_input {
	const struct estimate_window *windows; /* in their order */
	size_t window_count;
	const struct estimate_item *items;
	size_t item_count;
	const struct estimate_class *classes;
	size_t class_count;
	/*
	 * What each traceback is counted to: a number below theirs. Rows are then of these groups,
	 * though how long blocks live is told by traceback. NULL: rows are of tracebacks.
	 */
	const uint32_t *groups;
	uint64_t now;
};

struct estimate_value {
	double value, error; /* its standard error */
};

struct estimate_row {
	uint32_t traceback;
	uint32_t windows;                   /* how many saw a survivor of it */
	struct estimate_value count, size;  /* held now, and allocated since the start */
	struct estimate_value count_growth; /* blocks */
	struct estimate_value size_growth;  /* bytes */
	bool grows;                         /* it grows beyond doubt: see above */
};

struct estimate {
	struct estimate_row *rows; /* those that grow first; then by growth, then by size */
	size_t count;
	double slowdown;   /* how much more windows stand for than their length says: 1 or more */
	double attributed; /* bytes of growth that rows account for */
	double missing;    /* bytes of growth in classes of which no window saw a survivor */
	/* bytes a second that escape all windows with a chance of 5 % (blocks of 1 KiB) */
	double unseen;
};

/*
 * A class's growth and noise from COUNT censuses at TIMES, in any unit. Noise is the root mean
 * square of how much changes deviate from the trend: the largest one of the changes over 1, 2, 4,
 * ... intervals, up to a quarter of all, since what lives for long fluctuates slowly.
 */
void estimate_trend(const double *times, const double *totals, size_t count, double *ret_growth,
		    double *ret_noise);

/* Fails without memory, and if an index is beyond its table. */
struct error *estimate_create(const struct estimate_input *input, struct estimate **ret);
/* Adds OTHER's rows to ESTIMATE's, by traceback. OTHER is of other classes. */
struct error *estimate_merge(struct estimate *estimate, const struct estimate *other);
/* NULL is accepted. */
void estimate_destroy(struct estimate *estimate);

static inline void estimate_cleanup(struct estimate **estimate)
{
	estimate_destroy(*estimate);
}

#endif
