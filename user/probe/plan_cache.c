// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Plans kept between runs, below $TMBPF_CACHE or /var/cache/tmbpf, in plans/. The folders are
 * root's, nobody else may write to them, and root alone uses them: whoever else could bring a plan
 * of his own would have breakpoints put where he likes in other users' processes.
 *
 * A plan is found by the file's build-id and a hash of all of its content under a secret of this
 * folder, because a build-id is whatever a container's owner wrote there. It is used only if this
 * very program made it, from the same questions, and if each site is an instruction of the file, as
 * a sweep finds them, and of the site's kind. Otherwise the plan is made anew.
 *
 * A cache that cannot be read or written costs time, nothing else: such errors are dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/error.h"
#include "base/output.h"
#include "probe/code/listing.h"
#include "probe/code/x86.h"
#include "probe/plan.h"
#include "sandbox/privileges.h"

#define FOLDER   "/var/cache/tmbpf"
#define MAGIC    0x324e414c50424d54ULL /* "TMBPLAN2" */
#define FILE_MAX (16U << 20)

struct secret {
	uint64_t words[4];
};

struct question {                            /* what a plan depends on besides the file */
	uint64_t program_size, program_time; /* of this program: another one may know better */
	uint64_t content;                    /* of the image */
	uint64_t runtime, live[3];
	uint32_t version, site_size, audit_size, plan_size;
};

struct header {
	uint64_t magic;
	struct question question;
	uint32_t size, checksum; /* of all that follows */
	uint64_t functions[2][4], tables[3], refill, usedpools, usable_arenas;
	struct plan_audit audit;
	uint32_t site_count, warning_count;
};

/*
 * Multiply and fold, from a secret beginning: without the secret no two contents can be made to
 * agree.
 */
static uint64_t fold(uint64_t left, uint64_t right)
{
	unsigned __int128 product = (unsigned __int128)left * right;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t content_hash(const struct secret *secret, const uint8_t *data, size_t size)
{
	uint64_t hash = secret->words[0] ^ size, word;

	for (; size >= sizeof(word); data += sizeof(word), size -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		hash = fold(word ^ secret->words[1], hash ^ secret->words[2]);
	}
	word = 0;
	memcpy(&word, data, size);
	return fold(word ^ secret->words[3], hash ^ secret->words[2]);
}

/* Whether FD is root's, of TYPE, and open to nobody else in the ways of MODE. */
static bool is_roots(int fd, mode_t type, mode_t mode)
{
	struct stat status;

	return fd >= 0 && !fstat(fd, &status) && (status.st_mode & S_IFMT) == type &&
	       status.st_uid == 0 && !(status.st_mode & mode);
}

/* The folder, made where it is missing; -1 where it cannot be used. */
static int folder_open(void)
{
	const char *base = environment_trusted("TMBPF_CACHE");
	cleanup_fd int outer = -1, folder = -1;

	if (!privileges_root())
		return -1;
	if (!base || !*base)
		base = FOLDER;
	if (mkdir(base, 0755) && errno != EEXIST)
		return -1;
	outer = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!is_roots(outer, S_IFDIR, 0022) || (mkdirat(outer, "plans", 0700) && errno != EEXIST))
		return -1;
	folder = openat(outer, "plans", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return is_roots(folder, S_IFDIR, 0077) ? take_fd(folder) : -1;
}

static bool read_whole(int fd, void *data, size_t size)
{
	while (size) {
		ssize_t count = read(fd, data, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		data = (char *)data + count;
		size -= count;
	}
	return true;
}

static int file_open(int folder, const char *name)
{
	cleanup_fd int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	return is_roots(fd, S_IFREG, 0022) ? take_fd(fd) : -1;
}

static bool secret_get(int folder, struct secret *ret)
{
	cleanup_fd int old = file_open(folder, "secret"), new = -1;
	char name[40];
	bool written;

	if (old >= 0 && read_whole(old, ret, sizeof(*ret)))
		return true;
	if (getrandom(ret, sizeof(*ret), 0) != sizeof(*ret))
		return false;
	snprintf(name, sizeof(name), "secret.%d", getpid());
	new = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (new < 0)
		return false;
	written = write(new, ret, sizeof(*ret)) == sizeof(*ret) && fsync(new) == 0;
	if (written && renameat(folder, name, folder, "secret") == 0)
		return true;
	unlinkat(folder, name, 0);
	return false;
}

static bool question_ask(const struct secret *secret, const struct python *python,
			 const struct plan_input *input, struct question *ret)
{
	struct stat status;

	memset(ret, 0, sizeof(*ret));
	if (stat("/proc/self/exe", &status))
		return false;
	ret->program_size = status.st_size;
	ret->program_time = (uint64_t)clock_nanos(&status.st_mtim);
	ret->content = content_hash(secret, python->image->data, python->image->size);
	ret->runtime = input->runtime;
	memcpy(ret->live, input->live, sizeof(ret->live));
	ret->version = input->version;
	ret->site_size = sizeof(struct site);
	ret->audit_size = sizeof(struct plan_audit);
	ret->plan_size = sizeof(struct plan);
	return true;
}

static void name_make(const struct python *python, const struct question *question, char *ret,
		      size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < python->image->build_id_size && at + 3 < size - 24; i++)
		at += snprintf(ret + at, size - at, "%02x", python->image->build_id[i]);
	snprintf(ret + at, size - at, "-%016llx", (unsigned long long)question->content);
}

/* What was read is one of a bool's two values. */
static bool bool_valid(const bool *value)
{
	uint8_t byte;

	memcpy(&byte, value, sizeof(byte));
	return byte <= 1;
}

static bool value_valid(const struct site_value *value)
{
	return bool_valid(&value->has_base) && bool_valid(&value->dereference) &&
	       value->base < X86_REGISTERS && value->shift <= 3;
}

/* Whether SITE, of a kind that there is, may be on INSTRUCTION. */
static bool instruction_fits(const struct site *site, const struct x86_instruction *instruction)
{
	bool calls = instruction->kind == X86_CALL || instruction->kind == X86_CALL_INDIRECT;
	bool jumps = instruction->kind == X86_JUMP || instruction->kind == X86_JUMP_INDIRECT;

	if (instruction->length != site->length || !instruction->probeable)
		return false;
	switch (site->kind) {
	case SITE_GUARD:
		return instruction->kind == X86_BRANCH &&
		       (instruction->tests_equal || instruction->tests_unequal);
	case SITE_RAW:
		return site->tail ? jumps
				  : calls && site->returns ==
						     instruction->address + instruction->length;
	case SITE_ENTRY:
	case SITE_RESULT:
	case SITE_REFILL:
	case SITE_FREELIST_POP:
	case SITE_TRACK:
		return instruction->emulated || site->single_step;
	}
	return false;
}

/* Whether the site stands in the file as it was when the plan was made. */
static bool site_valid(const struct image *image, const struct site *site)
{
	struct x86_instruction instruction;
	uint64_t offset;

	return site->kind <= SITE_TRACK && site->operation <= SITE_FREE && bool_valid(&site->raw) &&
	       bool_valid(&site->single_step) && bool_valid(&site->tail) &&
	       bool_valid(&site->malloc_only) && site->length &&
	       site->length <= sizeof(site->bytes) && value_valid(&site->a[0]) &&
	       value_valid(&site->a[1]) && value_valid(&site->a[2]) &&
	       image_offset(image, site->address, &offset) && offset == site->offset &&
	       offset <= image->size && site->length <= image->size - offset &&
	       !memcmp(image->data + offset, site->bytes, site->length) &&
	       x86_decode(site->bytes, site->length, site->address, &instruction) &&
	       instruction_fits(site, &instruction);
}

static int address_compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Whether each of the sites begins where an instruction does. */
static bool sites_start(const struct image *image, const struct plan *plan)
{
	cleanup_free uint64_t *addresses =
		reallocarray(NULL, plan->site_count + 1, sizeof(*addresses));
	struct error *error;
	bool all = false;

	if (!addresses)
		return false;
	for (size_t i = 0; i < plan->site_count; i++)
		addresses[i] = plan->sites[i].address;
	qsort(addresses, plan->site_count, sizeof(*addresses), address_compare);
	error = listing_starts(image, addresses, plan->site_count, &all);
	error_destroy(error);
	return !error && all;
}

static bool warnings_unpack(struct plan *plan, const char *text, size_t size, uint32_t count)
{
	plan->warnings = calloc(count ? count : 1, sizeof(*plan->warnings));
	if (!plan->warnings)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const char *end = memchr(text, 0, size);

		if (!end)
			return false;
		plan->warnings[i] = strdup(text);
		if (!plan->warnings[i])
			return false;
		plan->warning_count++;
		size -= end + 1 - text;
		text = end + 1;
	}
	return size == 0;
}

static struct plan *plan_unpack(const struct image *image, const struct header *header,
				const uint8_t *body)
{
	cleanup(plan_cleanup) struct plan *plan = calloc(1, sizeof(*plan));
	size_t size = header->size, sites = header->site_count * sizeof(struct site);

	if (!plan || header->site_count > PLAN_SITES_MAX ||
	    header->warning_count > PLAN_WARNINGS_MAX || sites > size)
		return NULL;
	plan->sites = malloc(sites ? sites : 1);
	if (!plan->sites)
		return NULL;
	memcpy(plan->sites, body, sites);
	plan->site_count = header->site_count;
	for (size_t i = 0; i < plan->site_count; i++) {
		if (!site_valid(image, &plan->sites[i]) ||
		    (i && plan->sites[i - 1].offset >= plan->sites[i].offset))
			return NULL;
	}
	if (!sites_start(image, plan))
		return NULL;
	if (!warnings_unpack(plan, (const char *)body + sites, size - sites, header->warning_count))
		return NULL;
	memcpy(plan->functions, header->functions, sizeof(plan->functions));
	memcpy(plan->tables, header->tables, sizeof(plan->tables));
	plan->refill = header->refill;
	plan->usedpools = header->usedpools;
	plan->usable_arenas = header->usable_arenas;
	plan->audit = header->audit;
	return take(plan);
}

/* NULL: none there, or none that can be used. */
static struct plan *cache_get(int folder, const char *name, const struct image *image,
			      const struct question *question)
{
	cleanup_fd int fd = file_open(folder, name);
	cleanup_free uint8_t *body = NULL;
	struct header header;
	uint32_t checksum;

	if (fd < 0 || !read_whole(fd, &header, sizeof(header)) || header.magic != MAGIC ||
	    memcmp(&header.question, question, sizeof(*question)) != 0 || header.size > FILE_MAX)
		return NULL;
	body = malloc(header.size + 1);
	if (!body || !read_whole(fd, body, header.size))
		return NULL;
	checksum = header.checksum;
	header.checksum = 0;
	if (crc32(crc32(0, (const Bytef *)&header, sizeof(header)), body, header.size) != checksum)
		return NULL;
	return plan_unpack(image, &header, body);
}

static struct error *cache_put(const char *path, const struct question *question,
			       const struct plan *plan)
{
	size_t sites = plan->site_count * sizeof(*plan->sites), size = sites, at = sites;
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_free uint8_t *body = NULL;
	struct header header;

	for (size_t i = 0; i < plan->warning_count; i++)
		size += strlen(plan->warnings[i]) + 1;
	body = malloc(size + 1);
	if (!body || size > FILE_MAX)
		return NULL;
	memcpy(body, plan->sites, sites);
	for (size_t i = 0; i < plan->warning_count; i++) {
		size_t length = strlen(plan->warnings[i]) + 1;

		memcpy(body + at, plan->warnings[i], length);
		at += length;
	}
	memset(&header, 0, sizeof(header));
	header.magic = MAGIC;
	header.question = *question;
	header.size = size;
	memcpy(header.functions, plan->functions, sizeof(header.functions));
	memcpy(header.tables, plan->tables, sizeof(header.tables));
	header.refill = plan->refill;
	header.usedpools = plan->usedpools;
	header.usable_arenas = plan->usable_arenas;
	header.audit = plan->audit;
	header.site_count = plan->site_count;
	header.warning_count = plan->warning_count;
	header.checksum = crc32(crc32(0, (const Bytef *)&header, sizeof(header)), body, size);
	try(output_create(path, &output));
	try(output_write(output, &header, sizeof(header)));
	try(output_write(output, body, size));
	return output_commit(output);
}

struct error *plan_load(const struct python *python, struct plan **ret)
{
	char name[192], path[256];
	cleanup_fd int folder = folder_open();
	struct plan_input input = plan_input(python);
	struct question question;
	struct secret secret;
	struct plan *plan;

	if (folder < 0 || !secret_get(folder, &secret) ||
	    !question_ask(&secret, python, &input, &question))
		return plan_create(python, ret);
	name_make(python, &question, name, sizeof(name));
	plan = cache_get(folder, name, python->image, &question);
	if (!plan) {
		try(plan_create(python, &plan));
		/* The folder that was looked at, whatever its path leads to by now. */
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", folder, name);
		error_destroy(cache_put(path, &question, plan));
	}
	*ret = plan;
	return NULL;
}
