// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "target/image.h"

#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

#define PAGE	     4096ULL
#define SECTIONS_MAX 65536u
#define SEGMENTS_MAX 4096u

static void elf_cleanup(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static struct error *image_bad(const struct image *image, const char *what)
{
	return error_create(ERROR_FAILED, "%s: %s", image->path, what);
}

static struct error *image_no_memory(const struct image *image)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "%s", image->path);
}

/* The bytes of the file, or NULL if it does not hold all of them. */
static const uint8_t *file_bytes(const struct image *image, uint64_t offset, uint64_t size)
{
	if (offset > image->size || size > image->size - offset)
		return NULL;
	return image->data + offset;
}

static struct error *image_copy(struct image *image)
{
	size_t done = 0;
	struct stat stat;
	uint8_t *data;

	if (fstat(image->fd, &stat))
		return error_create_errno(ERROR_FAILED, errno, "%s", image->path);
	if (!S_ISREG(stat.st_mode))
		return image_bad(image, "not a regular file");
	if (stat.st_size < (off_t)sizeof(Elf64_Ehdr))
		return image_bad(image, "too short for an ELF file");
	if ((uint64_t)stat.st_size > IMAGE_SIZE_MAX)
		return error_create(ERROR_FAILED, "%s: %lld bytes; tmbpf reads files of up to %llu",
				    image->path, (long long)stat.st_size, IMAGE_SIZE_MAX);
	data = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return error_create_errno(ERROR_FAILED, errno, "%s", image->path);
	image->data = data;
	image->size = stat.st_size;
	while (done < image->size) {
		ssize_t got = pread(image->fd, data + done, image->size - done, done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_create_errno(ERROR_FAILED, errno, "cannot read %s",
						  image->path);
		if (!got)
			return image_bad(image, "it was cut short while it was read");
		done += got;
	}
	return NULL;
}

static struct error *header_check(const struct image *image, Elf *elf, GElf_Ehdr *ret)
{
	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, ret))
		return image_bad(image, "not an ELF file");
	if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB ||
	    ret->e_machine != EM_X86_64)
		return image_bad(image, "not an x86-64 ELF file");
	if (ret->e_type != ET_EXEC && ret->e_type != ET_DYN)
		return image_bad(image, "neither a program nor a shared library");
	return NULL;
}

static struct error *segments_read(struct image *image, Elf *elf)
{
	size_t count, i;

	if (elf_getphdrnum(elf, &count) || !count || count > SEGMENTS_MAX)
		return image_bad(image, "no program headers, or too many");
	image->segments = calloc(count, sizeof(*image->segments));
	if (!image->segments)
		return image_no_memory(image);
	for (i = 0; i < count; i++) {
		struct image_segment segment;
		GElf_Phdr header;

		if (!gelf_getphdr(elf, i, &header))
			return image_bad(image, "its program headers are damaged");
		segment = (struct image_segment){
			.address = header.p_vaddr,
			.memory_size = header.p_memsz,
			.offset = header.p_offset,
			.file_size = header.p_filesz,
			.align = header.p_align,
			.writable = header.p_flags & PF_W,
			.executable = header.p_flags & PF_X,
		};
		if (header.p_type != PT_LOAD && header.p_type != PT_TLS)
			continue;
		if (header.p_vaddr + header.p_memsz < header.p_vaddr ||
		    header.p_offset + header.p_filesz < header.p_offset ||
		    header.p_filesz > header.p_memsz)
			return image_bad(image, "a segment of it is out of all bounds");
		if (header.p_type == PT_LOAD)
			image->segments[image->segment_count++] = segment;
		else if (!image->tls.memory_size)
			image->tls = segment;
	}
	if (!image->segment_count)
		return image_bad(image, "nothing in it is to be loaded");
	return NULL;
}

static struct error *sections_read(struct image *image, Elf *elf)
{
	size_t count, i, names;

	if (elf_getshdrnum(elf, &count) || count > SECTIONS_MAX)
		return image_bad(image, "its section headers are damaged, or too many");
	if (!count)
		return NULL;
	if (elf_getshdrstrndx(elf, &names))
		return image_bad(image, "its sections have no names");
	image->sections = calloc(count, sizeof(*image->sections));
	if (!image->sections)
		return image_no_memory(image);
	for (i = 0; i < count; i++) {
		Elf_Scn *scn = elf_getscn(elf, i);
		struct image_section *section = &image->sections[i];
		GElf_Shdr header;
		const char *name;

		if (!scn || !gelf_getshdr(scn, &header))
			return image_bad(image, "its section headers are damaged");
		name = elf_strptr(elf, names, header.sh_name);
		section->name = name ? name : "";
		section->address = header.sh_addr;
		section->size = header.sh_size;
		section->offset = header.sh_offset;
		section->type = header.sh_type;
		section->flags = header.sh_flags;
		section->link = header.sh_link;
		if (header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL)
			section->data = file_bytes(image, header.sh_offset, header.sh_size);
	}
	image->section_count = count;
	return NULL;
}

/* A string of the section at INDEX, "" if it is none: bounded, NUL-terminated. */
static const char *section_string(const struct image *image, uint32_t index, uint64_t offset)
{
	const struct image_section *section;

	if (index >= image->section_count)
		return "";
	section = &image->sections[index];
	if (!section->data || offset >= section->size ||
	    !memchr(section->data + offset, 0, section->size - offset))
		return "";
	return (const char *)section->data + offset;
}

static int symbol_compare(const void *a, const void *b)
{
	const struct image_symbol *left = a, *right = b;

	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	if (left->global != right->global)
		return left->global ? -1 : 1;
	return strcmp(left->name, right->name);
}

static size_t symbols_count(const struct image *image)
{
	size_t count = 0, i;

	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if ((section->type == SHT_DYNSYM || section->type == SHT_SYMTAB) && section->data)
			count += section->size / sizeof(Elf64_Sym);
	}
	return count;
}

static void symbol_add(struct image *image, const struct image_section *section,
		       const Elf64_Sym *raw)
{
	unsigned type = ELF64_ST_TYPE(raw->st_info);
	struct image_symbol symbol = {
		.name = section_string(image, section->link, raw->st_name),
		.address = raw->st_value,
		.size = raw->st_size,
		.function = type == STT_FUNC || type == STT_GNU_IFUNC,
		.global = ELF64_ST_BIND(raw->st_info) != STB_LOCAL,
	};

	if (!*symbol.name || raw->st_shndx == SHN_UNDEF || raw->st_shndx == SHN_ABS)
		return;
	if (type == STT_TLS)
		image->tls_symbols[image->tls_symbol_count++] = symbol;
	else if (type == STT_NOTYPE || type == STT_OBJECT || symbol.function)
		image->symbols[image->symbol_count++] = symbol;
}

static struct error *symbols_read(struct image *image)
{
	size_t count = symbols_count(image), i, at;

	if (!count)
		return NULL;
	image->symbols = calloc(count, sizeof(*image->symbols));
	image->tls_symbols = calloc(count, sizeof(*image->tls_symbols));
	if (!image->symbols || !image->tls_symbols)
		return image_no_memory(image);
	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if ((section->type != SHT_DYNSYM && section->type != SHT_SYMTAB) || !section->data)
			continue;
		for (at = 0; at + sizeof(Elf64_Sym) <= section->size; at += sizeof(Elf64_Sym)) {
			Elf64_Sym symbol;

			memcpy(&symbol, section->data + at, sizeof(symbol));
			symbol_add(image, section, &symbol);
		}
	}
	qsort(image->symbols, image->symbol_count, sizeof(*image->symbols), symbol_compare);
	return NULL;
}

static int relocation_compare(const void *a, const void *b)
{
	const struct image_relocation *left = a, *right = b;

	return (left->address > right->address) - (left->address < right->address);
}

struct relocations {
	struct image_relocation *list;
	size_t count, capacity;
};

static bool relocations_append(struct relocations *relocations,
			       const struct image_relocation *relocation)
{
	if (relocations->count == relocations->capacity) {
		size_t capacity = relocations->capacity ? relocations->capacity * 2 : 4096;
		void *list = reallocarray(relocations->list, capacity, sizeof(*relocation));

		if (!list)
			return false;
		relocations->list = list;
		relocations->capacity = capacity;
	}
	relocations->list[relocations->count++] = *relocation;
	return true;
}

/* The name of symbol INDEX of the symbol table in section LINK. */
static const char *relocation_symbol(const struct image *image, uint32_t link, uint64_t index)
{
	const struct image_section *section;
	Elf64_Sym symbol;

	if (!index || link >= image->section_count)
		return "";
	section = &image->sections[link];
	if ((section->type != SHT_DYNSYM && section->type != SHT_SYMTAB) || !section->data ||
	    index >= section->size / sizeof(symbol))
		return "";
	memcpy(&symbol, section->data + index * sizeof(symbol), sizeof(symbol));
	return section_string(image, section->link, symbol.st_name);
}

static bool rela_read(const struct image *image, const struct image_section *section,
		      struct relocations *relocations)
{
	uint64_t at;

	for (at = 0; at + sizeof(Elf64_Rela) <= section->size; at += sizeof(Elf64_Rela)) {
		struct image_relocation relocation;
		Elf64_Rela raw;

		memcpy(&raw, section->data + at, sizeof(raw));
		relocation.address = raw.r_offset;
		relocation.type = ELF64_R_TYPE(raw.r_info);
		relocation.addend = raw.r_addend;
		relocation.symbol = relocation_symbol(image, section->link,
						      ELF64_R_SYM(raw.r_info));
		if (!relocations_append(relocations, &relocation))
			return false;
	}
	return true;
}

/* One relative relocation whose addend stands in the file. True if there is no such word. */
static bool relr_add(const struct image *image, uint64_t address, struct relocations *relocations)
{
	const uint8_t *word = image_bytes(image, address, sizeof(uint64_t));
	struct image_relocation relocation = {
		.address = address,
		.type = R_X86_64_RELATIVE,
		.symbol = "",
	};

	if (!word)
		return true;
	memcpy(&relocation.addend, word, sizeof(relocation.addend));
	return relocations_append(relocations, &relocation);
}

/* System V gABI, SHT_RELR: an address, then bitmaps (low bit set) for the 63 words that follow. */
static bool relr_read(const struct image *image, const struct image_section *section,
		      struct relocations *relocations)
{
	size_t limit = relocations->count + image->size / sizeof(uint64_t);
	uint64_t at, entry, base = 0;

	for (at = 0; at + sizeof(entry) <= section->size; at += sizeof(entry)) {
		unsigned bit;

		memcpy(&entry, section->data + at, sizeof(entry));
		if (!(entry & 1)) {
			if (!relr_add(image, entry, relocations))
				return false;
			base = entry + sizeof(entry);
			continue;
		}
		for (bit = 1; bit < 64; bit++)
			if ((entry >> bit & 1) &&
			    !relr_add(image, base + (bit - 1) * sizeof(entry), relocations))
				return false;
		base += 63 * sizeof(entry);
		/* More words than the file has room for: not a table that a linker wrote. */
		if (relocations->count > limit)
			return true;
	}
	return true;
}

static struct error *relocations_read(struct image *image)
{
	struct relocations relocations = {0};
	bool ok = true;
	size_t i;

	for (i = 0; ok && i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (!(section->flags & SHF_ALLOC) || !section->data)
			continue;
		if (section->type == SHT_RELA)
			ok = rela_read(image, section, &relocations);
		else if (section->type == SHT_RELR)
			ok = relr_read(image, section, &relocations);
	}
	image->relocations = relocations.list;
	image->relocation_count = relocations.count;
	if (!ok)
		return image_no_memory(image);
	if (relocations.count)
		qsort(relocations.list, relocations.count, sizeof(*relocations.list),
		      relocation_compare);
	return NULL;
}

/* The note's description, if it is GNU's build-id. */
static void build_id_read(struct image *image)
{
	size_t i;

	for (i = 0; i < image->section_count && !image->build_id_size; i++) {
		const struct image_section *section = &image->sections[i];
		uint64_t at = 0;
		Elf64_Nhdr note;

		if (section->type != SHT_NOTE || !section->data)
			continue;
		while (section->size - at >= sizeof(note)) {
			uint64_t name, description, next;

			memcpy(&note, section->data + at, sizeof(note));
			name = at + sizeof(note);
			description = name + ((note.n_namesz + 3ULL) & ~3ULL);
			next = description + ((note.n_descsz + 3ULL) & ~3ULL);
			if (description + note.n_descsz > section->size)
				break;
			if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof("GNU") &&
			    !memcmp(section->data + name, "GNU", sizeof("GNU")) && note.n_descsz &&
			    note.n_descsz <= sizeof(image->build_id)) {
				memcpy(image->build_id, section->data + description, note.n_descsz);
				image->build_id_size = note.n_descsz;
				break;
			}
			if (next >= section->size)
				break;
			at = next;
		}
	}
}

static struct error *image_read(struct image *image)
{
	cleanup(elf_cleanup) Elf *elf = NULL;
	GElf_Ehdr header;

	try(image_copy(image));
	if (elf_version(EV_CURRENT) == EV_NONE)
		return image_bad(image, "libelf is older than its header");
	elf = elf_memory((char *)image->data, image->size);
	if (!elf)
		return image_bad(image, elf_errmsg(-1));
	try(header_check(image, elf, &header));
	image->position_independent = header.e_type == ET_DYN;
	try(segments_read(image, elf));
	try(sections_read(image, elf));
	try(symbols_read(image));
	try(relocations_read(image));
	build_id_read(image);
	return NULL;
}

struct error *image_create(int fd, const char *path, struct image **ret)
{
	struct image *image = calloc(1, sizeof(*image));
	struct error *error;

	if (!image) {
		close(fd);
		return error_create_errno(ERROR_FAILED, ENOMEM, "%s", path);
	}
	image->fd = fd;
	image->path = strdup(path);
	error = image->path ? image_read(image)
			    : error_create_errno(ERROR_FAILED, ENOMEM, "%s", path);
	if (error) {
		image_destroy(image);
		return error;
	}
	*ret = image;
	return NULL;
}

void image_destroy(struct image *image)
{
	if (!image)
		return;
	if (image->data)
		munmap((void *)image->data, image->size);
	close(image->fd);
	free(image->path);
	free(image->segments);
	free(image->sections);
	free(image->symbols);
	free(image->tls_symbols);
	free(image->relocations);
	free(image);
}

const struct image_section *image_section(const struct image *image, const char *name)
{
	size_t i;

	for (i = 0; i < image->section_count; i++)
		if (!strcmp(image->sections[i].name, name))
			return &image->sections[i];
	return NULL;
}

const struct image_section *image_section_at(const struct image *image, uint64_t address)
{
	size_t i;

	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		/* .tbss takes no room: its addresses are those of what follows. */
		if (!(section->flags & SHF_ALLOC) ||
		    ((section->flags & SHF_TLS) && section->type == SHT_NOBITS))
			continue;
		if (address >= section->address && address - section->address < section->size)
			return section;
	}
	return NULL;
}

const struct image_symbol *image_symbol(const struct image *image, const char *name)
{
	const struct image_symbol *local = NULL;
	size_t i;

	for (i = 0; i < image->symbol_count; i++) {
		if (strcmp(image->symbols[i].name, name))
			continue;
		if (image->symbols[i].global)
			return &image->symbols[i];
		if (!local)
			local = &image->symbols[i];
	}
	return local;
}

bool image_tls_symbol(const struct image *image, const char *name, uint64_t *ret_offset)
{
	size_t i;

	for (i = 0; i < image->tls_symbol_count; i++) {
		if (strcmp(image->tls_symbols[i].name, name))
			continue;
		*ret_offset = image->tls_symbols[i].address;
		return true;
	}
	return false;
}

const struct image_relocation *image_relocation_from(const struct image *image, uint64_t address)
{
	size_t low = 0, high = image->relocation_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->relocations[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < image->relocation_count ? &image->relocations[low] : NULL;
}

bool image_offset(const struct image *image, uint64_t address, uint64_t *ret_offset)
{
	size_t i;

	for (i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];

		if (address < segment->address || address - segment->address >= segment->file_size)
			continue;
		*ret_offset = segment->offset + (address - segment->address);
		return true;
	}
	return false;
}

const uint8_t *image_bytes(const struct image *image, uint64_t address, size_t size)
{
	size_t i;

	for (i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];
		uint64_t within = address - segment->address;

		if (address < segment->address || within > segment->file_size ||
		    size > segment->file_size - within)
			continue;
		return file_bytes(image, segment->offset + within, size);
	}
	return NULL;
}

/* How well the mapping at file offset OFFSET fits SEGMENT: 0 not at all. */
static unsigned segment_fit(const struct image_segment *segment, uint64_t offset)
{
	uint64_t start = segment->offset & ~(PAGE - 1);

	if (offset < start || offset >= segment->offset + segment->file_size)
		return 0;
	return 1 + 2 * (offset == start) + segment->executable;
}

uint64_t image_bias(const struct image *image, uint64_t mapped_start, uint64_t mapped_offset)
{
	const struct image_segment *best = NULL;
	unsigned best_fit = 0;
	size_t i;

	if (!image->position_independent)
		return 0;
	for (i = 0; i < image->segment_count; i++) {
		unsigned fit = segment_fit(&image->segments[i], mapped_offset);

		if (fit > best_fit) {
			best = &image->segments[i];
			best_fit = fit;
		}
	}
	if (!best)
		return mapped_start - mapped_offset;
	return mapped_start - mapped_offset + best->offset - best->address;
}

/*
 * Does the PLT entry of SIZE bytes at CODE, which runs at ADDRESS, jump through memory? These are
 * the forms of ld, gold and lld: [endbr64] [bnd] jmp *disp32(%rip).
 */
static bool plt_slot(const uint8_t *code, size_t size, uint64_t address, uint64_t *ret_slot)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	int32_t displacement;
	size_t at = 0;

	if (size >= sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	if (at < size && code[at] == 0xf2)
		at++;
	if (size < at + 6 || code[at] != 0xff || code[at + 1] != 0x25)
		return false;
	memcpy(&displacement, code + at + 2, sizeof(displacement));
	*ret_slot = address + at + 6 + (int64_t)displacement;
	return true;
}

static uint64_t plt_find(const struct image *image, const struct image_section *section,
			 const char *symbol)
{
	uint64_t at, slot;

	for (at = 0; at < section->size; at += 8) {
		const struct image_relocation *relocation, *end;

		if (!plt_slot(section->data + at, section->size - at, section->address + at, &slot))
			continue;
		end = image->relocations + image->relocation_count;
		relocation = image_relocation_from(image, slot);
		for (; relocation && relocation < end && relocation->address == slot; relocation++)
			if ((relocation->type == R_X86_64_JUMP_SLOT ||
			     relocation->type == R_X86_64_GLOB_DAT) &&
			    !strcmp(relocation->symbol, symbol))
				return section->address + at;
	}
	return 0;
}

uint64_t image_plt(const struct image *image, const char *symbol)
{
	static const char *const names[] = {".plt.sec", ".plt", ".plt.got"};
	size_t i;

	for (i = 0; i < array_size(names); i++) {
		const struct image_section *section = image_section(image, names[i]);
		uint64_t address;

		if (!section || !section->data)
			continue;
		address = plt_find(image, section, symbol);
		if (address)
			return address;
	}
	return 0;
}
