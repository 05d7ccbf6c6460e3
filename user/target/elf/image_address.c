// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From the addresses of an image to its sections, its bytes, and places in its file. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "target/elf/image_internal.h"

#define PAGE 4096ULL

struct error *image_no_memory(const struct image *image)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "%s", image->path);
}

const uint8_t *image_file_bytes(const struct image *image, uint64_t offset, uint64_t size)
{
	if (offset > image->size || size > image->size - offset)
		return NULL;
	return image->data + offset;
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

bool image_section_variable(const struct image *image, const struct image_section *section)
{
	return section->flags & SHF_WRITE &&
	       section->address - image->relro.address >= image->relro.memory_size &&
	       strncmp(section->name, ".data.rel.ro", strlen(".data.rel.ro")) != 0;
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
		return image_file_bytes(image, segment->offset + within, size);
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
