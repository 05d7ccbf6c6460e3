// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ELF files: this very program, and what damage does to it. */
#include "support.h"
#include "base/cleanup.h"
#include "target/elf/image.h"
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Named in this program's symbol table. */
const char image_landmark[] = "a landmark";
__thread int image_tls_landmark = 3;

static void image_cleanup(struct image **image)
{
	image_destroy(*image);
}

static struct image *image_open(const char *path)
{
	struct image *image = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	support_ok(image_create(fd, path, &image));
	assert_non_null(image);
	return image;
}

static int main_program(struct dl_phdr_info *info, size_t size, void *ret)
{
	(void)size;
	*(uint64_t *)ret = info->dlpi_addr;
	return 1;
}

static void test_self(void **state)
{
	cleanup(image_cleanup) struct image *image = image_open("/proc/self/exe");
	const struct image_symbol *symbol = image_symbol(image, "image_landmark");
	const struct image_section *section;
	uint64_t bias = 0, offset, got;
	const uint8_t *bytes;

	(void)state;
	dl_iterate_phdr(main_program, &bias);
	assert_non_null(symbol);
	assert_int_equal(symbol->address + bias, (uintptr_t)image_landmark);
	assert_int_equal(symbol->size, sizeof(image_landmark));
	assert_false(symbol->function);
	assert_true(symbol->global);
	bytes = image_bytes(image, symbol->address, sizeof(image_landmark));
	assert_non_null(bytes);
	assert_string_equal((const char *)bytes, image_landmark);
	assert_true(image_offset(image, symbol->address, &offset));
	assert_memory_equal(image->data + offset, image_landmark, sizeof(image_landmark));
	section = image_section_at(image, symbol->address);
	assert_non_null(section);
	assert_string_equal(section->name, ".rodata");
	assert_ptr_equal(section, image_section(image, ".rodata"));
	assert_true(image->position_independent);
	assert_true(image->build_id_size > 0);
	assert_true(image_symbol(image, "main")->function);
	assert_null(image_symbol(image, "no such symbol"));
	assert_true(image_tls_symbol(image, "image_tls_landmark", &got));
	assert_true(got < image->tls.memory_size);
	assert_null(image_symbol(image, "image_tls_landmark"));
}

/* What is only relocated is no variable, though it is in a section that can be written to. */
static void test_variables(void **state)
{
	cleanup(image_cleanup) struct image *image = image_open("/proc/self/exe");
	const struct image_section *relocated = image_section(image, ".data.rel.ro");
	struct image_section named;

	(void)state;
	assert_true(image->relro.memory_size > 0);
	assert_non_null(relocated);
	assert_true(image_section_variable(image, image_section(image, ".data")));
	assert_true(image_section_variable(image, image_section(image, ".bss")));
	assert_false(image_section_variable(image, image_section(image, ".rodata")));
	assert_false(image_section_variable(image, image_section(image, ".text")));
	assert_false(image_section_variable(image, image_section(image, ".dynamic")));
	assert_false(image_section_variable(image, relocated));
	/* By either of the two that tell. */
	named = *relocated;
	named.name = ".other";
	assert_false(image_section_variable(image, &named));
	image->relro.memory_size = 0;
	assert_true(image_section_variable(image, &named));
	assert_false(image_section_variable(image, relocated));
}

static void test_bounds(void **state)
{
	cleanup(image_cleanup) struct image *image = image_open("/proc/self/exe");
	const struct image_segment *last = &image->segments[image->segment_count - 1];
	uint64_t offset;

	(void)state;
	assert_null(image_bytes(image, last->address + last->file_size, 1));
	assert_null(image_bytes(image, last->address, last->file_size + 1));
	assert_non_null(image_bytes(image, last->address, last->file_size));
	assert_null(image_bytes(image, last->address, SIZE_MAX));
	assert_null(image_bytes(image, UINT64_MAX, 2));
	assert_false(image_offset(image, UINT64_MAX, &offset));
	assert_null(image_section_at(image, UINT64_MAX));
	assert_null(image_relocation_from(image, UINT64_MAX));
}

/* The PLT entry of libc's own calls leads through the relocation of that name. */
static void test_plt(void **state)
{
	cleanup(image_cleanup) struct image *image = NULL;
	Dl_info info;
	uint64_t address;
	const uint8_t *code;

	(void)state;
	/* libcmocka is no program of ours, so that no option of ours changes its PLT. */
	assert_true(dladdr((void *)(uintptr_t)_cmocka_run_group_tests, &info) != 0);
	image = image_open(info.dli_fname);
	address = image_plt(image, "free");
	assert_true(address != 0);
	assert_string_equal(image_section_at(image, address)->name[1] == 'p' ? ".plt" : "", ".plt");
	code = image_bytes(image, address, 6);
	assert_non_null(code);
	assert_true((code[0] == 0xff && code[1] == 0x25) || !memcmp(code, "\xf3\x0f\x1e\xfa", 4));
	assert_true(image_plt(image, "calloc") != address);
	assert_int_equal(image_plt(image, "no such symbol"), 0);
}

static void test_bias(void **state)
{
	struct image_segment segments[] = {
		{.address = 0x400000, .offset = 0, .file_size = 0x1200},
		{.address = 0x402200, .offset = 0x1200, .file_size = 0x5000, .executable = true},
		{.address = 0x408200, .offset = 0x6200, .file_size = 0x1000, .writable = true},
	};
	struct image image = {.segments = segments, .segment_count = 3};

	(void)state;
	assert_int_equal(image_bias(&image, 0x7f0000001000, 0x1000), 0);
	image.position_independent = true;
	/* The first page of a segment is the last one of that before it. */
	assert_int_equal(image_bias(&image, 0x7f0000402000, 0x1000), 0x7f0000000000);
	assert_int_equal(image_bias(&image, 0x7f0000400000, 0), 0x7f0000000000);
	assert_int_equal(image_bias(&image, 0x7f0000408000, 0x6000), 0x7f0000000000);
	assert_int_equal(image_bias(&image, 0x7f0000404000, 0x3000), 0x7f0000000000);
}

/* A file with DATA; libelf must not meet it twice. */
static struct error *image_of(const void *data, size_t size, struct image **ret)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	return image_create(fd, "damaged", ret);
}

static void refused(const void *data, size_t size, const char *text)
{
	struct image *image;

	support_fails(image_of(data, size, &image), ERROR_FAILED, text);
}

static void test_refused(void **state)
{
	Elf64_Ehdr header = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_shentsize = sizeof(Elf64_Shdr),
	};
	int fd = open("/dev/zero", O_RDONLY);
	struct image *image;

	(void)state;
	refused("", 0, "too short");
	refused("#!/bin/sh\n", 10, "too short");
	refused(&header, sizeof(header), "no program headers");
	header.e_type = ET_REL;
	refused(&header, sizeof(header), "neither a program nor a shared library");
	header.e_machine = EM_AARCH64;
	refused(&header, sizeof(header), "not an x86-64 ELF file");
	header.e_ident[EI_CLASS] = ELFCLASS32;
	refused(&header, sizeof(header), "not an x86-64 ELF file");
	memset(&header, 'x', sizeof(header));
	refused(&header, sizeof(header), "not an ELF file");
	support_fails(image_create(fd, "/dev/zero", &image), ERROR_FAILED, "not a regular file");
	fd = memfd_create("huge", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, IMAGE_SIZE_MAX + 1), 0);
	support_fails(image_create(fd, "huge", &image), ERROR_FAILED, "reads files of up to");
}

/* Uses all of an image that may be anything. */
static void image_use(const struct image *image)
{
	volatile unsigned sum = 0;
	uint64_t offset;
	size_t i, j;

	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		sum += strlen(section->name);
		for (j = 0; section->data && j < section->size; j += 97)
			sum += section->data[j];
		if (section->data && section->size)
			sum += section->data[section->size - 1];
	}
	for (i = 0; i < image->symbol_count; i++) {
		const uint8_t *bytes = image_bytes(image, image->symbols[i].address, 8);

		sum += strlen(image->symbols[i].name) + (bytes ? bytes[7] : 0);
		sum += image_offset(image, image->symbols[i].address, &offset);
		assert_true(!i || image->symbols[i - 1].address <= image->symbols[i].address);
	}
	for (i = 0; i < image->relocation_count; i++)
		sum += strlen(image->relocations[i].symbol);
	image_plt(image, "malloc");
	image_bias(image, 0x7f0000000000, 0x1000);
}

/* This program's own headers and tables, with bytes changed by chance. */
static void test_damaged(void **state)
{
	size_t size, i, j, opened = 0;
	cleanup_free uint8_t *data = support_read("/proc/self/exe", &size);
	cleanup_free uint8_t *copy = malloc(size);
	Elf64_Ehdr header;
	unsigned seed = 1;

	(void)state;
	assert_non_null(copy);
	memcpy(&header, data, sizeof(header));
	for (i = 0; i < 300; i++) {
		struct image *image = NULL;
		struct error *error;

		memcpy(copy, data, size);
		for (j = 0; j < 1 + i % 8; j++) {
			uint64_t at = rand_r(&seed);

			/* File header, section headers, program headers and what follows. */
			if (j % 3 == 0)
				at = header.e_shoff + at % (header.e_shnum * sizeof(Elf64_Shdr));
			else if (j % 3 == 1)
				at = at % 0x2000;
			else
				at = at % size;
			copy[at] = i % 2 ? rand_r(&seed) : 0xff;
		}
		/* Without the first four bytes it is no ELF file, which is dull. */
		memcpy(copy, data, 4);
		error = image_of(copy, i % 10 ? size : rand_r(&seed) % size, &image);
		error_destroy(error);
		if (error)
			continue;
		opened++;
		image_use(image);
		image_destroy(image);
	}
	/* Most damage leaves something to use. */
	assert_true(opened > 50);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),    cmocka_unit_test(test_variables),
		cmocka_unit_test(test_bounds),  cmocka_unit_test(test_plt),
		cmocka_unit_test(test_bias),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("ELF files", tests, NULL, NULL);
}
