// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Copies an ELF file, and reads its headers by libelf. */
#include "target/elf/image.h"

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
#include "target/elf/image_internal.h"

#define SECTIONS_MAX 65536u
#define SEGMENTS_MAX 4096u

static void elf_cleanup(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

/* "PATH: WHAT" */
static struct error *image_bad(const struct image *image, const char *what)
{
	return error_create(ERROR_FAILED, "%s: %s", image->path, what);
}

static struct error *copy_range(struct image *image, uint64_t start, uint64_t end)
{
	uint8_t *data = (uint8_t *)image->data;

	while (start < end) {
		ssize_t got = pread(image->fd, data + start, end - start, start);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_create_errno(ERROR_FAILED, errno, "cannot read %s",
						  image->path);
		if (!got)
			return image_bad(image, "it was cut short while it was read");
		start += got;
	}
	return NULL;
}

/* What is not loaded and is no table of ours: debugging information, five sixths of some files. */
static bool section_unwanted(const Elf64_Shdr *header)
{
	return header->sh_type == SHT_PROGBITS && !(header->sh_flags & SHF_ALLOC);
}

static int range_compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (left[0] > right[0]) - (left[0] < right[0]);
}

/* The ranges {start, end} of the sections not to be copied, in the file's order. */
static struct error *unwanted_find(struct image *image, uint64_t (**ret)[2], size_t *ret_count)
{
	cleanup_free uint64_t(*ranges)[2] = NULL;
	size_t count = 0, i;
	Elf64_Ehdr header;

	try(copy_range(image, 0, sizeof(header)));
	memcpy(&header, image->data, sizeof(header));
	*ret_count = 0;
	if (header.e_shentsize != sizeof(Elf64_Shdr) ||
	    !image_file_bytes(image, header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr)))
		return NULL;
	try(copy_range(image, header.e_shoff,
		       header.e_shoff + header.e_shnum * sizeof(Elf64_Shdr)));
	ranges = calloc(header.e_shnum + 1u, sizeof(*ranges));
	if (!ranges)
		return image_no_memory(image);
	for (i = 0; i < header.e_shnum; i++) {
		Elf64_Shdr section;

		memcpy(&section, image->data + header.e_shoff + i * sizeof(section),
		       sizeof(section));
		if (!section_unwanted(&section) || i == header.e_shstrndx ||
		    !image_file_bytes(image, section.sh_offset, section.sh_size))
			continue;
		ranges[count][0] = section.sh_offset;
		ranges[count++][1] = section.sh_offset + section.sh_size;
	}
	qsort(ranges, count, sizeof(*ranges), range_compare);
	*ret = take(ranges);
	*ret_count = count;
	return NULL;
}

static struct error *image_copy(struct image *image)
{
	cleanup_free uint64_t(*unwanted)[2] = NULL;
	uint64_t at = 0;
	size_t count, i;
	struct stat stat;

	if (fstat(image->fd, &stat))
		return error_create_errno(ERROR_FAILED, errno, "%s", image->path);
	if (!S_ISREG(stat.st_mode))
		return image_bad(image, "not a regular file");
	if (stat.st_size < (off_t)sizeof(Elf64_Ehdr))
		return image_bad(image, "too short for an ELF file");
	if ((uint64_t)stat.st_size > IMAGE_SIZE_MAX)
		return error_create(ERROR_FAILED, "%s: %lld bytes; tmbpf reads files of up to %llu",
				    image->path, (long long)stat.st_size, IMAGE_SIZE_MAX);
	image->data = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	if (image->data == MAP_FAILED) {
		image->data = NULL;
		return error_create_errno(ERROR_FAILED, errno, "%s", image->path);
	}
	image->size = stat.st_size;
	try(unwanted_find(image, &unwanted, &count));
	for (i = 0; i < count; i++) {
		try(copy_range(image, at, unwanted[i][0]));
		if (unwanted[i][1] > at)
			at = unwanted[i][1];
	}
	return copy_range(image, at, image->size);
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
		if (header.p_type != PT_LOAD && header.p_type != PT_TLS &&
		    header.p_type != PT_GNU_RELRO)
			continue;
		if (header.p_vaddr + header.p_memsz < header.p_vaddr ||
		    header.p_offset + header.p_filesz < header.p_offset ||
		    header.p_filesz > header.p_memsz)
			return image_bad(image, "a segment of it is out of all bounds");
		if (header.p_type == PT_LOAD)
			image->segments[image->segment_count++] = segment;
		else if (header.p_type == PT_GNU_RELRO)
			image->relro = segment;
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
		if (header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL &&
		    ((header.sh_flags & SHF_ALLOC) || header.sh_type != SHT_PROGBITS))
			section->data = image_file_bytes(image, header.sh_offset, header.sh_size);
	}
	image->section_count = count;
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
	try(image_symbols_read(image));
	try(image_relocations_read(image));
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
