# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# What tests of groups share: tests/targets/workers.py, and what a group's status says.

# TARGET_PIDS and what else start_target sets is one test's own.
# shellcheck disable=SC2030,SC2031,SC2154

setup()
{
	requires root command:jq
	cd "$BATS_TEST_TMPDIR" || return
	GROUP=()
	CGROUPS=()
}

teardown()
{
	local folder
	((${#GROUP[@]} == 0)) || tmbpf stop "${GROUP[@]}" >/dev/null 2>&1 || true
	stop_targets
	for folder in "${CGROUPS[@]}"; do
		wait_until cgroup_remove "$folder"
	done
}

# cgroup_remove FOLDER: ends whoever is in it
cgroup_remove()
{
	local pid
	while read -r pid; do
		kill -KILL "$pid" 2>/dev/null || true
	done <"$1/cgroup.procs"
	rmdir "$1"
}

# read_pid: the next `worker PID` that the target prints, in WORKER
read_pid()
{
	local line
	while IFS= read -r -t "$PATIENCE" -u "$TARGET_OUT" line; do
		[[ $line != 'worker '* ]] || {
			WORKER=${line#worker }
			return 0
		}
	done
	return 1
}

# start_workers COUNT: tests/targets/workers.py; WORKERS are their pids
start_workers()
{
	local i
	start_quiet_target "$TARGETS/workers.py" "$1"
	WORKERS=()
	for ((i = 0; i < $1; i++)); do
		read_pid
		WORKERS+=("$WORKER")
	done
	wait_target READY
}

group_status()
{
	tmbpf status "${GROUP[@]}" --json
}

# process_is PID FILTER: whether what the group's status says of PID passes a filter of jq's
process_is()
{
	group_status | jq -e ".processes | map(select(.pid == $1)) | last | $2"
}

# group_is FILTER
group_is()
{
	group_status | jq -e "$1"
}

# nothing_left: no session and no watcher has anything in the folder of sockets
nothing_left()
{
	[[ -z $(ls -A "$TMBPF_RUN") ]]
}
