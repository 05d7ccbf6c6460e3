// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a BPF program's work costs: one program for each operation, for tests/bench/operations to
 * run many times over. They are programs of the traffic classifier, as the kernel runs these by
 * itself as often as it is asked to; the operations are those of any program.
 */
#include <vmlinux.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define ENTRIES   (1 << 20)
#define FRAMES    25
#define FRAME     64
#define NO_WAKEUP 1 /* BPF_RB_NO_WAKEUP */

/* A map of TYPE with MAX entries of a KEY and eight bytes. */
#define MAP(name, map_type, key_type, max)                                                         \
	struct {                                                                                   \
		__uint(type, map_type);                                                            \
		__uint(max_entries, max);                                                          \
		__type(key, key_type);                                                             \
		__type(value, __u64);                                                              \
	} name SEC(".maps")

MAP(counters, BPF_MAP_TYPE_ARRAY, __u32, 1);
MAP(per_cpu, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, 1);
MAP(large_array, BPF_MAP_TYPE_ARRAY, __u32, ENTRIES);
MAP(hash, BPF_MAP_TYPE_HASH, __u64, ENTRIES + ENTRIES / 4);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, __u64, ENTRIES);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} ring SEC(".maps");

/* The next of a sequence that visits each of ENTRIES once before it begins anew, in no order. */
static __u64 sequence;

static __always_inline __u64 random_entry(void)
{
	sequence = sequence * 1664525 + 1013904223;
	return sequence % ENTRIES;
}

/* The part of the kernel's that is read (include/linux/mm_types.h). */
struct mm_struct___arguments {
	unsigned long arg_start;
} __attribute__((preserve_access_index));

/* An address that user space has mapped and touched: its command line. */
static __always_inline const void *user_memory(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	struct mm_struct___arguments *mm = (void *)BPF_CORE_READ(task, mm);

	return (const void *)(BPF_CORE_READ(mm, arg_start) & ~63UL);
}

SEC("tc")
int empty(struct __sk_buff *context)
{
	return 0;
}

SEC("tc")
int counter_array(struct __sk_buff *context)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		*value += 1;
	return 0;
}

SEC("tc")
int counter_per_cpu(struct __sk_buff *context)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&per_cpu, &key);

	if (value)
		*value += 1;
	return 0;
}

SEC("tc")
int time_now(struct __sk_buff *context)
{
	return bpf_ktime_get_ns() == 0;
}

SEC("tc")
int user_address(struct __sk_buff *context)
{
	return user_memory() == NULL;
}

SEC("tc")
int user_read_8(struct __sk_buff *context)
{
	__u64 word;

	return bpf_probe_read_user(&word, sizeof(word), user_memory());
}

SEC("tc")
int user_read_64(struct __sk_buff *context)
{
	char frame[FRAME];

	return bpf_probe_read_user(frame, sizeof(frame), user_memory());
}

SEC("tc")
int user_read_64_25_times(struct __sk_buff *context)
{
	const void *from = user_memory();
	char frame[FRAME];
	int bad = 0;

	for (int i = 0; i < FRAMES; i++)
		bad |= bpf_probe_read_user(frame, sizeof(frame), from);
	return bad;
}

SEC("tc")
int array_random(struct __sk_buff *context)
{
	__u32 key = random_entry();
	__u64 *value = bpf_map_lookup_elem(&large_array, &key);

	if (value)
		*value += 1;
	return !value;
}

SEC("tc")
int hash_fill(struct __sk_buff *context)
{
	__u64 key = random_entry(), value = 1;

	return bpf_map_update_elem(&hash, &key, &value, BPF_ANY) != 0;
}

SEC("tc")
int hash_lookup(struct __sk_buff *context)
{
	__u64 key = random_entry();

	return !bpf_map_lookup_elem(&hash, &key);
}

SEC("tc")
int hash_update(struct __sk_buff *context)
{
	__u64 key = random_entry(), value = 2;

	return bpf_map_update_elem(&hash, &key, &value, BPF_EXIST) != 0;
}

SEC("tc")
int hash_insert_delete(struct __sk_buff *context)
{
	__u64 key = ENTRIES + random_entry(), value = 3;

	return bpf_map_update_elem(&hash, &key, &value, BPF_NOEXIST) ||
	       bpf_map_delete_elem(&hash, &key);
}

SEC("tc")
int lru_update(struct __sk_buff *context)
{
	__u64 key = random_entry() * 4, value = 1;

	return bpf_map_update_elem(&lru, &key, &value, BPF_ANY) != 0;
}

SEC("tc")
int ring_64(struct __sk_buff *context)
{
	char *record = bpf_ringbuf_reserve(&ring, 64, 0);

	if (!record)
		return 1;
	record[0] = 1;
	bpf_ringbuf_submit(record, NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
