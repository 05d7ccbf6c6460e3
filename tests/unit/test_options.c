// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the values of options mean, and how what is none is refused. */
#include "support.h"
#include "base/cleanup.h"
#include "command/options/grouping_options.h"
#include "command/options/options.h"
#include "command/options/target_options.h"
#include "daemon/group/group_target.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define USAGE(error, text) support_fails(error, ERROR_USAGE, text)

static void test_number(void **state)
{
	static const char *const none[] = {
		"", "-1", "+1", " 1", "1 ", "1x", "0x1", "4", "101", "18446744073709551616", "x"};
	uint64_t number = 7;
	uint32_t count = 7;

	(void)state;
	support_ok(option_number("-n", NULL, 5, 100, &number));
	assert_int_equal(number, 7);
	support_ok(option_number("-n", "5", 5, 100, &number));
	assert_int_equal(number, 5);
	support_ok(option_number("-n", "0100", 5, 100, &number));
	assert_int_equal(number, 100);
	support_ok(option_number("-n", "18446744073709551615", 0, UINT64_MAX, &number));
	assert_true(number == UINT64_MAX);
	for (size_t i = 0; i < array_size(none); i++) {
		cleanup_free char *text = NULL;

		assert_true(asprintf(&text, "-n takes a number from 5 to 100, not \"%s\"",
				     none[i]) > 0);
		USAGE(option_number("-n", none[i], 5, 100, &number), text);
		USAGE(option_count("-n", none[i], 5, 100, &count), text);
	}
	assert_true(number == UINT64_MAX);
	assert_int_equal(count, 7);
	support_ok(option_count("-n", NULL, 5, 100, &count));
	assert_int_equal(count, 7);
	support_ok(option_count("-n", "99", 5, 100, &count));
	assert_int_equal(count, 99);
}

static void test_limit(void **state)
{
	uint64_t limit = 25;

	(void)state;
	support_ok(option_limit("--limit", NULL, 1000, &limit));
	assert_int_equal(limit, 25);
	support_ok(option_limit("--limit", "4294967295", 1000, &limit));
	assert_int_equal(limit, UINT32_MAX);
	support_ok(option_limit("--limit", "0", 1000, &limit));
	assert_int_equal(limit, 1000);
	USAGE(option_limit("--limit", "4294967296", 1000, &limit),
	      "--limit takes a number from 0 to 4294967295, not \"4294967296\"");
}

static void test_pid(void **state)
{
	pid_t pid = 0;

	(void)state;
	support_ok(option_pid("-p", "2147483647", &pid));
	assert_int_equal(pid, INT32_MAX);
	USAGE(option_pid("-p", "0", &pid), "-p takes a number from 1 to 2147483647, not \"0\"");
	USAGE(option_pid("-p", "2147483648", &pid), "not \"2147483648\"");
	USAGE(option_pid("-p", "-2", &pid), "not \"-2\"");
	assert_int_equal(pid, INT32_MAX);
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} sizes[] = {{"0", 0},
		     {"17", 17},
		     {"17B", 17},
		     {"2K", 2048},
		     {"2KiB", 2048},
		     {"20MiB", 20u << 20},
		     {"3G", 3ull << 30},
		     {"9223372036854775807", INT64_MAX},
		     {"8589934591GiB", 8589934591ull << 30}};
	static const char *const none[] = {"",      "K",   "-1",          "1 K",
					   "1KB",   "1k",  "8589934592G", "9223372036854775808",
					   "1KiBs", "0x1", "1.5M"};
	uint64_t size = 3;

	(void)state;
	support_ok(option_size("--size", NULL, &size));
	assert_int_equal(size, 3);
	for (size_t i = 0; i < array_size(none); i++) {
		USAGE(option_size("--size", none[i], &size),
		      "--size takes bytes, or a number with KiB, MiB or GiB, not \"");
		assert_int_equal(size, 3);
	}
	for (size_t i = 0; i < array_size(sizes); i++) {
		support_ok(option_size("--size", sizes[i].text, &size));
		assert_true(size == sizes[i].size);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} times[] = {{"1", 1},     {"30s", 30},        {"5m", 300},
		     {"1h", 3600}, {"604800", 604800}, {"168h", 604800}};
	static const char *const none[] = {"",     "0",      "0s",   "s",
					   "-1s",  "1d",     "1 s",  "1ss",
					   "1.5h", "604801", "169h", "18446744073709551615h"};
	uint64_t seconds = 3;

	(void)state;
	support_ok(option_duration("--for", NULL, &seconds));
	assert_int_equal(seconds, 3);
	for (size_t i = 0; i < array_size(none); i++) {
		USAGE(option_duration("--for", none[i], &seconds),
		      "--for takes a time of 1s to 7 days, such as 30s, 5m or 1h, not \"");
		assert_int_equal(seconds, 3);
	}
	for (size_t i = 0; i < array_size(times); i++) {
		support_ok(option_duration("--for", times[i].text, &seconds));
		assert_int_equal(seconds, times[i].seconds);
	}
}

static void test_percent(void **state)
{
	double share = 0.5;

	(void)state;
	support_ok(option_percent("--overhead", NULL, 1, 50, &share));
	assert_true(share == 0.5);
	USAGE(option_percent("--overhead", "51", 1, 50, &share),
	      "--overhead takes a number from 1 to 50, not \"51\"");
	support_ok(option_percent("--overhead", "2", 1, 50, &share));
	assert_true(share == 0.02);
}

static void test_address(void **state)
{
	static const char *const none[] = {
		"", "0x", "-1", " 1", "1 ", "0xg", "app", "+1", "0x10000000000000000"};
	uint64_t address = 3;

	(void)state;
	for (size_t i = 0; i < array_size(none); i++) {
		USAGE(option_address("ADDRESS", none[i], &address),
		      "ADDRESS takes a number such as 0x7f2a3c5e9d10, not \"");
		assert_int_equal(address, 3);
	}
	support_ok(option_address("ADDRESS", "0x7f2a3c5e9d10", &address));
	assert_true(address == 0x7f2a3c5e9d10);
	support_ok(option_address("ADDRESS", "0XfF", &address));
	assert_int_equal(address, 255);
	support_ok(option_address("ADDRESS", "16", &address));
	assert_int_equal(address, 16);
}

static void test_python(void **state)
{
	static const char *const none[] = {"", "3", "3.", "2.7", "3.5", "3.100", "3.11.2", "3.x"};
	uint32_t version = 3;

	(void)state;
	for (size_t i = 0; i < array_size(none); i++) {
		USAGE(option_python("--python", none[i], &version),
		      "--python takes a version from 3.6 on, such as 3.11, not \"");
		assert_int_equal(version, 3);
	}
	support_ok(option_python("--python", "3.11", &version));
	assert_int_equal(version, 0x030b0000);
}

static void test_choice(void **state)
{
	static const char *const names[] = {"text", "json", "html"};
	char text[40];
	size_t choice = 1;

	(void)state;
	support_ok(option_choice("--format", NULL, names, 3, &choice));
	assert_int_equal(choice, 1);
	support_ok(option_choice("--format", "html", names, 3, &choice));
	assert_int_equal(choice, 2);
	USAGE(option_choice("--format", "xml", names, 3, &choice),
	      "--format takes text, json or html, not \"xml\"");
	USAGE(option_choice("--format", "", names, 3, &choice), "not \"\"");
	assert_int_equal(choice, 2);
	assert_string_equal(option_names(names, 2, text, sizeof(text)), "text or json");
	assert_string_equal(option_names(names, 1, text, sizeof(text)), "text");
	assert_string_equal(option_names(names, 0, text, sizeof(text)), "");
}

static void test_grouping(void **state)
{
	struct grouping_options given = {0};

	(void)state;
	support_ok(grouping_options_check(&given));
	assert_int_equal(given.limit_count, 25);
	assert_int_equal(given.statistics.group_by, GROUP_BY_LINENO);
	assert_int_equal(given.format_kind, GROUPING_TEXT);
	for (size_t i = 0; i < GROUP_BY_COUNT; i++) {
		given = (struct grouping_options){.group_by = group_by_names[i], .limit = "0"};
		support_ok(grouping_options_check(&given));
		assert_int_equal(given.statistics.group_by, i);
		assert_true(given.limit_count == SIZE_MAX);
	}
	given = (struct grouping_options){.group_by = "line"};
	USAGE(grouping_options_check(&given),
	      "--group-by takes lineno, filename, function or traceback, not \"line\"");
	given = (struct grouping_options){.group_by = "traceback", .cumulative = true};
	USAGE(grouping_options_check(&given), "--cumulative does not go with");
	given = (struct grouping_options){.group_by = "function", .format = "python"};
	USAGE(grouping_options_check(&given), "--format python does not go with");
}

/* The options of TARGET name a group of KIND, and again the same options. */
static void group_is(const struct target_options *target, enum group_kind kind, const char *text)
{
	cleanup_free char *again = target_options_text(target);
	struct group_wanted wanted;

	support_ok(target_options_check(target));
	assert_true(target_options_many(target));
	support_ok(target_options_group(target, &wanted));
	assert_int_equal(wanted.kind, kind);
	assert_string_equal(again, text);
}

static void test_target(void **state)
{
	const struct target_options pid = {.pid = "12"}, none = {0}, bad = {.pid = "x"};
	pid_t found = 0;

	(void)state;
	support_ok(target_options_check(&pid));
	assert_false(target_options_many(&pid));
	support_ok(target_options_pid(&pid, &found));
	assert_int_equal(found, 12);
	assert_true(target_options_given(&pid));
	assert_false(target_options_given(&none));
	USAGE(target_options_check(&none), "-p PID is missing (or --container, --cgroup)");
	USAGE(target_options_pid(&none, &found), "-p PID is missing");
	USAGE(target_options_pid(&bad, &found), "not \"x\"");
	USAGE(target_options_check(&(struct target_options){.pid = "1", .cgroup = "/a"}),
	      "exclude each other");
	USAGE(target_options_check(&(struct target_options){.follow = true}),
	      "--follow needs -p PID: whom to follow");
	group_is(&(struct target_options){.pid = "12", .follow = true}, GROUP_FOLLOW,
		 "-p 12 --follow");
	group_is(&(struct target_options){.container = "web"}, GROUP_CONTAINER, "--container web");
	group_is(&(struct target_options){.cgroup = "/a"}, GROUP_CGROUP, "--cgroup /a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),   cmocka_unit_test(test_limit),
		cmocka_unit_test(test_pid),      cmocka_unit_test(test_size),
		cmocka_unit_test(test_duration), cmocka_unit_test(test_percent),
		cmocka_unit_test(test_address),  cmocka_unit_test(test_python),
		cmocka_unit_test(test_choice),   cmocka_unit_test(test_grouping),
		cmocka_unit_test(test_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
