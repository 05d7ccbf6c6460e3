// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Control groups and containers, with a /proc and a /run of our own. */
#include "support.h"
#include "base/cleanup.h"
#include "target/container/container.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ONE   "1111111111111111111111111111111111111111111111111111111111111111"
#define TWO   "1122222222222222222222222222222222222222222222222222222222222222"
#define THREE "3333333333333333333333333333333333333333333333333333333333333333"
#define FIVE  "5555555555555555555555555555555555555555555555555555555555555555"
#define FOUR  "4444444444444444444444444444444444444444444444444444444444444444"

static int setup(void **state)
{
	char *root = support_folder();

	support_put(root, "proc/1/cgroup",
		    "2:pids:/\n1:name=systemd:/init.scope\n0::/init.scope\n");
	support_put(root, "proc/10/cgroup", "2:pids:/docker/" ONE "\n0::/\n");
	support_put(root, "proc/11/cgroup", "2:pids:/docker/" ONE "/inner\n0::/\n");
	support_put(root, "proc/20/cgroup", "0::/system.slice/docker-" TWO ".scope\n");
	support_put(root, "proc/30/cgroup",
		    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice/"
		    "cri-containerd-" THREE ".scope\n");
	support_put(root, "proc/40/cgroup", "0::/machine.slice/libpod-" FOUR ".scope/container\n");
	support_put(root, "proc/41/cgroup", "0::/machine.slice/libpod-conmon-" FOUR ".scope\n");
	support_put(root, "proc/50/cgroup", "2:pids:/box\n0::/box\n");
	support_put(root, "proc/60/cgroup", "0::/elsewhere/deep\n");
	support_put(root, "proc/self/cgroup", "2:pids:/\n0::/\n");
	support_put(root, "proc/notapid/cgroup", "0::/box\n");
	support_put(root, "var/lib/docker/containers/" ONE "/config.v2.json",
		    "{\"Name\": \"/web\", \"Config\": {\"Image\": \"shop:7\"}}");
	support_put(root, "var/lib/docker/containers/" TWO "/config.v2.json",
		    "{\"Name\": [\"/web\"");
	support_put(root,
		    "run/containerd/io.containerd.runtime.v2.task/k8s.io/" THREE "/config.json",
		    "{\"annotations\": {\"io.kubernetes.cri.container-name\": \"worker\","
		    "\"io.kubernetes.cri.sandbox-name\": \"shop-0\", "
		    "\"io.kubernetes.cri.image-name\": 7}}");
	support_put(root, "var/lib/containers/storage/overlay-containers/containers.json",
		    "[3, {\"id\": \"" FOUR "\", \"names\": [\"db\"], \"metadata\": "
		    "\"{\\\"image-name\\\": \\\"base:1\\\"}\"}]");
	support_put(root, "proc/45/cgroup", "0::/libpod_parent/libpod-" FIVE "\n");
	support_put(root, "var/lib/containers/storage/vfs-containers/containers.json",
		    "[{\"id\": \"" FIVE "\", \"names\": [\"queue\"], \"metadata\": "
		    "\"{\\\"image-name\\\": \\\"base:2\\\"}\"}]");
	support_put(root, "proc/46/cgroup", "0::/default/jobs\n");
	support_put(root, "run/containerd/io.containerd.runtime.v2.task/default/jobs/config.json",
		    "{\"annotations\": {\"nerdctl/image-name\": \"batch:3\"}}");
	support_put(root, "proc/70/cgroup", "2:pids:/runc.d/other\n0::/runc.d/other\n");
	support_put(root, "run/runc/other/state.json", "{\"init_process_pid\": 60}");
	support_put(root, "run/runc/elsewhere-of-its-own/state.json", "{\"init_process_pid\": 60}");
	support_put(root, "run/runc/gone/state.json", "{\"init_process_pid\": 61}");
	support_put(root, "run/runc/bad/state.json", "{\"init_process_pid\": 99999999999999}");
	*state = root;
	return 0;
}

static int teardown(void **state)
{
	support_folder_remove(*state);
	return 0;
}

static void component_is(const char *component, const char *id, bool is_id)
{
	cleanup_free char *found = NULL;
	bool found_id = !is_id;

	assert_true(container_component(component, strlen(component), &found, &found_id));
	assert_string_equal(found, id);
	assert_int_equal(found_id, is_id);
}

static void test_components(void **state)
{
	char *none = NULL;
	bool is_id;

	(void)state;
	component_is(ONE, ONE, true);
	component_is("docker-" ONE ".scope", ONE, true);
	component_is("cri-containerd-" ONE ".scope", ONE, true);
	component_is("crio-" ONE ".scope", ONE, true);
	component_is("libpod-" ONE, ONE, true);
	component_is("runc-box.scope", "box", false);
	component_is("lxc.payload.box", "box", false);
	component_is("box", "box", false);
	component_is("1" ONE, "1" ONE, false);
	component_is("x" ONE, "x" ONE, false);
	assert_false(container_component("libpod-conmon-" ONE ".scope",
					 strlen("libpod-conmon-" ONE ".scope"), &none, &is_id));
	assert_false(container_component("", 0, &none, &is_id));
	assert_false(container_component("runc-.scope", 11, &none, &is_id));
	assert_null(none);
}

static void found_is(const char *root, const char *wanted, const char *id, const char *name,
		     const char *image, const char *runtime, size_t processes)
{
	cleanup(container_deinit) struct container found = {0};
	cleanup_free pid_t *pids = NULL;
	size_t count;

	support_ok(container_find(root, wanted, &found));
	assert_string_equal(found.id, id);
	assert_string_equal(found.name, name);
	assert_string_equal(found.image, image);
	assert_string_equal(found.runtime, runtime);
	support_ok(cgroups_processes(root, &found.groups, &pids, &count));
	assert_int_equal(count, processes);
}

static void test_find(void **state)
{
	const char *root = *state;
	struct container none = {0};

	found_is(root, ONE, ONE, "web", "shop:7", "docker", 2);
	found_is(root, "111", ONE, "web", "shop:7", "docker", 2);
	found_is(root, "web", ONE, "web", "shop:7", "docker", 2);
	found_is(root, "112", TWO, "", "", "", 1);
	found_is(root, "worker", THREE, "worker", "", "containerd", 1);
	found_is(root, "shop-0/worker", THREE, "worker", "", "containerd", 1);
	found_is(root, "db", FOUR, "db", "base:1", "podman", 1);
	found_is(root, "jobs", "jobs", "jobs", "batch:3", "containerd", 1);
	found_is(root, "queue", FIVE, "queue", "base:2", "podman", 1);
	found_is(root, "box", "box", "box", "", "", 1);
	found_is(root, "other", "other", "other", "", "runc", 1);
	found_is(root, "elsewhere-of-its-own", "elsewhere-of-its-own", "elsewhere-of-its-own", "",
		 "runc", 1);
	support_fails(container_find(root, "11", &none), ERROR_FAILED, "several containers");
	support_fails(container_find(root, "nobody", &none), ERROR_NOTHING, "nobody");
	support_fails(container_find(root, "gone", &none), ERROR_NOTHING, "gone");
	support_fails(container_find(root, "bad", &none), ERROR_NOTHING, "bad");
	support_fails(container_find(root, "../runc/other", &none), ERROR_NOTHING, "other");
	support_fails(container_find(root, "", &none), ERROR_USAGE, "names no container");
}

static void test_of(void **state)
{
	cleanup(cgroups_deinit) struct cgroups of = {0}, plain = {0};
	cleanup(container_deinit) struct container container = {0}, none = {0};

	support_ok(cgroups_read(*state, 11, &of));
	support_ok(container_of(*state, &of, &container));
	assert_string_equal(container.id, ONE);
	assert_string_equal(container.name, "web");
	support_ok(cgroups_read(*state, 60, &plain));
	support_ok(container_of(*state, &plain, &none));
	assert_null(none.id);
	cgroups_deinit(&of);
	support_ok(cgroups_read(*state, 70, &of));
	container_deinit(&container);
	support_ok(container_of(*state, &of, &container));
	assert_string_equal(container.id, "other");
	assert_string_equal(container.runtime, "runc");
	cgroups_deinit(&of);
	support_ok(cgroups_read(*state, 46, &of));
	container_deinit(&container);
	support_ok(container_of(*state, &of, &container));
	assert_string_equal(container.id, "jobs");
	assert_string_equal(container.runtime, "containerd");
	support_fails(cgroups_read(*state, 12345, &of), ERROR_NOTHING, "12345");
}

static void test_below(void **state)
{
	(void)state;
	assert_true(cgroup_is_below("/a/b", "/a"));
	assert_true(cgroup_is_below("/a", "/a"));
	assert_true(cgroup_is_below("/a", "/"));
	assert_false(cgroup_is_below("/ab", "/a"));
	assert_false(cgroup_is_below("/", "/a"));
}

static void mounts_put(const char *root)
{
	cleanup_free char *text = NULL;

	assert_true(
		asprintf(
			&text,
			"25 1 0:1 / / rw - ext4 /dev/vda rw\n"
			"30 25 0:2 / %s/cg/pids rw shared:1 - cgroup cgroup rw,pids\n"
			"31 25 0:3 / %s/cg/unified rw - cgroup2 cgroup2 rw\nnonsense\n - cgroup2\n",
			root, root) > 0);
	support_put(root, "proc/self/mountinfo", text);
	support_put(root, "cg/pids/box/cgroup.procs", "50\n");
	support_put(root, "cg/unified/empty/cgroup.procs", "");
}

static void resolves(const char *root, const char *path, size_t hierarchies, size_t processes)
{
	cleanup(cgroups_deinit) struct cgroups groups = {0};
	cleanup_free pid_t *pids = NULL;
	size_t count;

	support_ok(cgroups_resolve(root, path, &groups));
	assert_int_equal(groups.count, hierarchies);
	support_ok(cgroups_processes(root, &groups, &pids, &count));
	assert_int_equal(count, processes);
}

static void test_clean(void **state)
{
	static const struct {
		const char *given, *clean;
	} cases[] = {
		{"/", "/"},          {"//", "/"},
		{"/a", "/a"},        {"/a/", "/a"},
		{"//a//b/", "/a/b"}, {"/a/./b/..", "/a"},
		{"/../a", "/a"},     {"/a/..", "/"},
		{"/a/../..", "/"},   {"/..a/.b/c..", "/..a/.b/c.."},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cleanup_free char *clean = cgroup_path_clean(cases[i].given);

		assert_string_equal(clean, cases[i].clean);
	}
}

static void test_resolve(void **state)
{
	const char *root = *state;
	cleanup_free char *box = support_path(root, "cg/pids/box/"),
			  *empty = support_path(root, "cg/unified/empty"),
			  *missing = support_path(root, "cg/unified/missing"), *folder = NULL;
	cleanup(cgroups_deinit) struct cgroups groups = {0};

	mounts_put(root);
	resolves(root, box, 1, 1);
	resolves(root, empty, 1, 0);
	resolves(root, "/box", 2, 1);
	resolves(root, "//else/../box/.", 2, 1);
	resolves(root, "/elsewhere", 1, 1);
	support_fails(cgroups_resolve(root, missing, &groups), ERROR_NOTHING, "missing");
	support_fails(cgroups_resolve(root, "/nowhere", &groups), ERROR_NOTHING, "nowhere");
	support_fails(cgroups_resolve(root, "box", &groups), ERROR_USAGE, "box");
	support_ok(cgroups_add(&groups, "pids", "/box"));
	support_ok(cgroup_folder(root, &groups.list[0], &folder));
	assert_non_null(strstr(folder, "/cg/pids/box"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_components),
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of, setup, teardown),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_clean),
		cmocka_unit_test_setup_teardown(test_resolve, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
