/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An ELF file of a process: its segments, sections, dynamic symbols, relocations, build-id,
 * by libelf. The file is the target's and hostile: every offset and size is checked. It is copied
 * (at most IMAGE_SIZE_MAX), not mapped: who may truncate a mapped file kills its readers.
 */
#ifndef TMBPF_TARGET_ELF_IMAGE_H
#define TMBPF_TARGET_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define IMAGE_SIZE_MAX (512ULL << 20) /* bytes; larger files are refused */

/* A PT_LOAD, PT_TLS or PT_GNU_RELRO program header. */
struct image_segment {
	uint64_t address, memory_size; /* virtual address in the file's own terms */
	uint64_t offset, file_size;
	uint64_t align;
	bool writable, executable;
};

struct image_section {
	const char *name;
	uint64_t address, size, offset; /* virtual address in the file's own terms */
	const uint8_t *
		data; /* NULL for NOBITS, for what is not loaded, and where the file is cut short */
	uint32_t type;  /* SHT_* */
	uint64_t flags; /* SHF_* */
	uint32_t link;  /* sh_link */
};

struct image_symbol {
	const char *name;
	uint64_t address, size;
	bool function;
	bool global; /* not STB_LOCAL */
};

struct image_relocation {
	uint64_t address;   /* of the word that is relocated */
	uint32_t type;      /* R_X86_64_* */
	const char *symbol; /* "" for none */
	int64_t addend;
};

struct image {
	int fd;
	char *path; /* for messages */
	uint8_t build_id[64];
	size_t build_id_size;      /* 0: none */
	bool position_independent; /* ET_DYN */
	const uint8_t
		*data; /* a private copy of the file, less debugging information (zeros there) */
	size_t size;
	struct image_segment *segments; /* PT_LOAD, in the file's order */
	size_t segment_count;
	struct image_segment tls; /* PT_TLS; memory_size 0: none */
	/* PT_GNU_RELRO: what nobody writes to once it is relocated; memory_size 0: none */
	struct image_segment relro;
	struct image_section *sections;
	size_t section_count;
	/*
	 * .dynsym, and .symtab where there is one; defined ones; sorted by address. Not the
	 * thread-local ones.
	 */
	struct image_symbol *symbols;
	size_t symbol_count;
	struct image_symbol *tls_symbols; /* address: the offset in the TLS block */
	size_t tls_symbol_count;
	/* .rela.dyn, .rela.plt and .relr.dyn (as R_X86_64_RELATIVE); sorted by address */
	struct image_relocation *relocations;
	size_t relocation_count;
};

/* Takes FD over, also on failure. PATH is copied. */
struct error *image_create(int fd, const char *path, struct image **ret);
void image_destroy(struct image *image);

const struct image_section *image_section(const struct image *image, const char *name);
/* The section that holds ADDRESS, or NULL. */
const struct image_section *image_section_at(const struct image *image, uint64_t address);
/*
 * Whether a process that maps IMAGE may write to what SECTION holds: variables, not words that are
 * only relocated.
 */
bool image_section_variable(const struct image *image, const struct image_section *section);
/* A global one before a local one of that name. */
const struct image_symbol *image_symbol(const struct image *image, const char *name);
/* The offset of a thread-local symbol in the TLS block; false if it is not there. */
bool image_tls_symbol(const struct image *image, const char *name, uint64_t *ret_offset);
/* The first relocation at ADDRESS or behind it; NULL if there is none. Runs to the array's end. */
const struct image_relocation *image_relocation_from(const struct image *image, uint64_t address);
/* Virtual address <-> file offset by the PT_LOAD segments; false if it lies in none. */
bool image_offset(const struct image *image, uint64_t address, uint64_t *ret_offset);
/* SIZE bytes of the file's initial image at ADDRESS, or NULL (outside, or not in the file). */
const uint8_t *image_bytes(const struct image *image, uint64_t address, size_t size);
/*
 * What to add to the file's addresses to get the process's: 0 for ET_EXEC. MAPPED_START and
 * MAPPED_OFFSET are those of one of its mappings, best an executable one (two segments may
 * share a page of the file; the executable one is preferred then).
 */
uint64_t image_bias(const struct image *image, uint64_t mapped_start, uint64_t mapped_offset);
/*
 * The address of the PLT entry through which SYMBOL is called (.plt, .plt.sec, .plt.got), 0 for
 * none: x86-64's three PLT forms, found by what they jump through.
 */
uint64_t image_plt(const struct image *image, const char *symbol);

#endif
