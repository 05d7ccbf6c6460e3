/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What each traceback holds and by how much it grows, estimated from short windows in which every
 * allocation was seen, and from exact totals of the heap (the census). Pure arithmetic.
 *
 * The sample. Time since the start is cut into intervals, and within each interval one window lies at a
 * random place, each place as likely as any other. So each moment is in a window with a probability
 * that is known, whatever the process does periodically, and a block that is born in a window
 * stands for WEIGHT blocks (the interval's length over the window's): the Horvitz-Thompson estimator.
 * Windows are what is sampled, not blocks: what is born together in one window counts as one
 * observation (cluster sampling).
 *
 * What a traceback holds is the weighted sum of its survivors: blocks born in windows that are
 * alive now.
 *
 * Growth. Of a steady process, too, some of what it holds was born since the start: it has replaced
 * what died. So growth is what is going to stay. For each traceback a survivor counts by its
 * chance to reach the horizon, half the time observed (Kaplan-Meier, from the deaths seen among
 * all its survivors so far); whatever is older has proved it. Then the sums of each class, blocks
 * of one type and size, are calibrated to the growth of that class, which the census knows exactly:
 *
 *	growth below what stays     what stays is scaled down to it
 *	growth above what stays     of what may yet die, as much counts as is missing
 *	growth above all survivors  survivors are scaled up to it
 *	no growth                   nothing of this class grows
 *
 * Growth that is more than all survivors by what cannot be chance (three errors) was born where no
 * window looks: that part has no traceback.
 *
 * Slowdown. Traps slow down who allocates, and a process without time to spare does less in a window
 * than in as much time elsewhere: what windows saw stands for more than their length says. How much
 * more the heap tells. Of classes whose every birth windows see no growth has another source, so where
 * all these classes together grew by more than all that was born in them, and not by chance, windows
 * stand for as much more as what stays is short of that growth: for all classes, as the process is one.
 *
 * Phantoms. Liveness is looked up from time to time. A block that died and was followed at its
 * address by one that nothing tells from it (fingerprint.h, fingerprint_words.h) passes for alive, but later windows
 * see such births: they give the rate at which a traceback's survivors are replaced in the time that
 * windows see, and survivors are discounted by exp(-rate * age).
 *
 * Errors are standard errors (times Student's factor for few windows): of the weighted sums over
 * windows by successive differences, which take in a trend and, as each interval has one window, err
 * on the large side; of calibrated figures by those of the linearised residuals; and, as a
 * traceback may have missed all windows, a share of 1 / (windows with survivors of it + 1). To
 * these are added, by squares, for what windows do not tell:
 *
 *	held	what lives less than a interval: its mean, as survivors of the last window stand for
 *		far too much of it and no survivors for nothing; if there are none, also what
 *		lives longer and what was born since the last window
 *	growth	how much what dies fluctuates by chance; how much the class does, by the square
 *		root of the traceback's part in it; if the class shrinks, by its part in that;
 *		what stays without that the class grows by it, half: it may be growth that is
 *		offset by what went of others, or none
 *
 * A traceback's part in a class is what it held of it on average over the time observed, alive or
 * not by now. So what is estimated to be 0 has an error, and of a class that shrinks a large one.
 * Growth that is shown as such exceeds twice its error and four times the class's own fluctuation, was seen by
 * three windows, and by two of those older than the horizon.
 *
 * Bias. What is seen in no window is not reported: see `unseen`. What dies between two looks is
 * taken to die at the second. A change of habits within the time observed makes the horizon's
 * chances those of the mean. A process that windows slow down while nothing in it grows holds more than is said,
 * of what was born since the start, by as much as it is slowed down. A class that shrinks as a whole hides a traceback in it that grows.
 * Growth of one traceback that replaces another's blocks of the same type and size, both living
 * longer than half the time observed, is shared among them. Where blocks of a traceback that soon die
 * make place for others' that stay, and nothing tells them apart, the former seems to grow by what
 * the latter does. In simulated processes (tests/unit/test_estimate.c) the mean over seeds of what
 * leaks is within 1 % of the truth, beside blocks of the same type and size that live for half a second.
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

/* Blocks of one traceback and class, born in one window and alive at its end, with one fate. */
struct estimate_item {
	uint32_t window, traceback, class;
	double count, size; /* size: bytes asked for; of a sample what it stands for */
	uint64_t died;      /* when they were first found dead, or ESTIMATE_ALIVE */
	bool reborn;        /* a later window saw a birth at their address: so they were dead */
};

struct estimate_class {   /* blocks of one type and size, from the census */
	bool by_size;     /* sizes differ: what follows is bytes, else blocks */
	bool probed;      /* windows see each birth of it */
	double total;     /* now */
	double growth;    /* since the start; may be negative */
	double noise;     /* standard error of growth as a trend: how much the total fluctuates */
	double unit_size; /* bytes a block of the class takes; 1 with by_size */
};

struct estimate_input {
	const struct estimate_window *windows; /* in their order */
	size_t window_count;
	const struct estimate_item *items;
	size_t item_count;
	const struct estimate_class *classes;
	size_t class_count;
	/*
	 * What each traceback is counted to, a number below theirs: rows are of these then, though how long things live is
	 * told by traceback. NULL: rows are of tracebacks.
	 */
	const uint32_t *groups;
	uint64_t now;
};

struct estimate_value {
	double value, error; /* its standard error */
};

struct estimate_row {
	uint32_t traceback;
	uint32_t windows;                   /* that saw a survivor of it */
	struct estimate_value count, size;  /* held now, born since the start */
	struct estimate_value count_growth; /* blocks */
	struct estimate_value size_growth;  /* bytes */
	bool grows;                         /* beyond doubt: see above */
};

struct estimate {
	struct estimate_row *rows; /* what grows first, then the others, by growth, then by size */
	size_t count;
	double slowdown;   /* how much more windows stand for than their length says: 1 or above */
	double attributed; /* bytes of growth that rows account for */
	double missing;    /* bytes of growth in classes of which no window saw a survivor */
	double unseen; /* bytes a second: what escapes all windows with a chance of 5 % (blocks of 1 KiB) */
};

/*
 * A class's growth and noise from COUNT censuses at TIMES, in any unit. Noise is the largest deviation from the trend
 * (root mean square) of changes over 1, 2, 4, ... intervals, up to a quarter of them all: what lives for long fluctuates slowly.
 */
void estimate_trend(const double *times, const double *totals, size_t count, double *ret_growth,
		    double *ret_noise);

/* Fails without memory, and on indexes beyond their tables. */
struct error *estimate_create(const struct estimate_input *input, struct estimate **ret);
/* Adds OTHER's rows, which are of other classes, to ESTIMATE's: to each traceback's what it has there. */
struct error *estimate_merge(struct estimate *estimate, const struct estimate *other);
/* NULL is accepted. */
void estimate_destroy(struct estimate *estimate);

static inline void estimate_cleanup(struct estimate **estimate)
{
	estimate_destroy(*estimate);
}

#endif
