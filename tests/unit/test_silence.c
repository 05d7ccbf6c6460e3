// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Probes that nobody comes to, and the options of overlay mounts. */
#include "support.h"
#include "daemon/silence.h"
#include "target/container/overlay.h"
#include <json-c/json.h>
#include <stdlib.h>

static bool is_silent(const char *text)
{
	json_object *status = json_tokener_parse(text);
	bool silent;

	assert_non_null(status);
	silent = silence_warning(status);
	json_object_put(status);
	return silent;
}

static void test_exact(void **state)
{
	(void)state;
	assert_true(is_silent(
		"{\"events\": {\"a\": 0, \"b\": 0}, \"growth_census\": {\"size\": 70000}}"));
	assert_false(is_silent(
		"{\"events\": {\"a\": 0, \"b\": 1}, \"growth_census\": {\"size\": 70000}}"));
	assert_false(is_silent("{\"events\": {\"a\": 0}, \"growth_census\": {\"size\": 7000}}"));
	assert_false(is_silent("{\"events\": {\"a\": 0}, \"growth_census\": null}"));
	assert_false(is_silent("{\"growth_census\": {\"size\": 70000}}"));
}

static void test_estimate(void **state)
{
	(void)state;
	assert_true(is_silent("{\"events\": {\"a\": 0}, \"cost\": {\"hits\": 0}, \"windows\": 9, "
			      "\"census_growth\": 70000.5}"));
	assert_false(is_silent("{\"events\": {\"a\": 0}, \"cost\": {\"hits\": 1}, \"windows\": 9, "
			       "\"census_growth\": 70000.5}"));
	assert_false(is_silent("{\"events\": {\"a\": 0}, \"cost\": {\"hits\": 0}, \"windows\": 2, "
			       "\"census_growth\": 70000.5}"));
	assert_false(is_silent("{\"events\": {\"a\": 0}, \"cost\": {\"hits\": 0}, \"windows\": 9, "
			       "\"census_growth\": -3.0}"));
}

static void option_is(const char *options, const char *key, const char *value)
{
	char *found = overlay_option(options, key);

	if (value)
		assert_string_equal(found, value);
	else
		assert_null(found);
	free(found);
}

static void test_options(void **state)
{
	static const char options[] = "rw,lowerdir=/a\\040b:/c,upperdir=/u,workdir=,xlowerdir=/no";

	(void)state;
	option_is(options, "lowerdir", "/a b:/c");
	option_is(options, "upperdir", "/u");
	option_is(options, "workdir", "");
	option_is(options, "rw", NULL);
	option_is(options, "dir", NULL);
	option_is("", "lowerdir", NULL);
	option_is("lowerdir=/x\\09y\\", "lowerdir", "/x\\09y\\");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_estimate),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
