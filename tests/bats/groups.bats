# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Groups: a server and its workers, a control group, a container by its name.

# TARGET_PIDS and what else start_target sets is one test's own.
# shellcheck disable=SC2030,SC2031,SC2154

load ../helpers
load session
load groups

@test "--follow: a server, its workers, and those that it forks later, as a tree" {
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	run -0 --separate-stderr tmbpf start "${GROUP[@]}" --exact
	[[ $output == *": 3 processes are traced"* ]]
	process_is "$TARGET_PID" '.state == "traced"'
	process_is "${WORKERS[0]}" ".state == \"traced\" and .parent == $TARGET_PID"
	tell_target fork
	read_pid
	wait_until process_is "$WORKER" ".state == \"traced\" and
		.session.group == \"follow-$TARGET_PID\" and .session.parent == $TARGET_PID"
	wait_until process_is "${WORKERS[0]}" '.session.current > 50000'
	run -0 tmbpf status "${GROUP[@]}"
	[[ $output == *": 4 traced, 0 ended, 0 no CPython, 0 failed"* ]]
	# Children are further in than their parent.
	grep -q "^  $TARGET_PID " <<<"$output"
	grep -q "^    $WORKER " <<<"$output"
	run -0 tmbpf status
	grep -q "^    $WORKER " <<<"$output"
	# A session of a group is one like others.
	run -0 tmbpf status -p "$WORKER"
	run -1 --separate-stderr tmbpf start "${GROUP[@]}"
	[[ $stderr == *"traced already"* ]]
	run -0 tmbpf stop "${GROUP[@]}"
	nothing_left
	target_alive
	run -3 --separate-stderr tmbpf status "${GROUP[@]}"
	run -3 --separate-stderr tmbpf status
}

@test "workers that are killed and begun anew: each is a session, none is lost" {
	local killed i
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	killed=()
	WORKER=${WORKERS[0]}
	for i in 1 2 3; do
		wait_until process_is "$WORKER" '.state == "traced" and .session.current > 5000'
		killed+=("$WORKER")
		tell_target kill
		read_pid
	done
	wait_until process_is "$WORKER" '.state == "traced" and .session.current > 5000'
	for i in "${killed[@]}"; do
		wait_until process_is "$i" '.state == "ended" and .session.state == "exited" and
			.session.current > 5000'
	done
	group_is '(.losses | length) == 0 and .counts.sessions == 6'
	# The snapshots of those that have ended are there as well.
	run -0 tmbpf snapshot "${GROUP[@]}" -o all
	[[ -s all/$WORKER.pb.gz && -s all/${killed[0]}.pb.gz && -s all/${WORKERS[1]}.pb.gz ]]
	(($(find all -name '*.pb.gz' | wc -l) == 6)) || return
	tmbpf stats all/*.pb.gz --format json --limit 1 |
		jq -e '.statistics[0].traceback[0].function == "leak" and .statistics[0].count > 20'
	run -0 tmbpf diff --by-process "all/$WORKER.pb.gz" "all/${WORKERS[1]}.pb.gz"
	[[ $output == *"pid $WORKER "*"pid ${WORKERS[1]} "* ]]
	[[ $output == *"most in"*"pid $WORKER "*"leak"* ]]
	tmbpf stop "${GROUP[@]}"
	nothing_left
}

@test "stats of several files is the sum of each" {
	local sum
	start_workers 3
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	wait_until process_is "${WORKERS[0]}" '.session.current > 20000'
	wait_until process_is "${WORKERS[2]}" '.session.blocks > 5'
	tmbpf snapshot "${GROUP[@]}" -o all
	sum=$(for file in all/*.pb.gz; do
		tmbpf stats "$file" --format json | jq '[.size, .count]'
	done | jq -cs 'transpose | map(add)')
	tmbpf stats all/*.pb.gz --format json | jq -e "[.size, .count] == $sum"
	run -0 tmbpf stats all/*.pb.gz
	[[ $output == "4 snapshots together: pid "* ]]
	tmbpf diff --by-process all/*.pb.gz --format json |
		jq -e '.by_process and (.differences[0].size_diff > 0) and
			([.differences[].grows] | any | not)'
	run -2 tmbpf diff --by-process --growth all/*.pb.gz
}

@test "exec: a shell that becomes a Python is traced, a program that is none is not" {
	start_workers 1
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	tell_target shell
	read_pid
	wait_until process_is "$WORKER" '.state == "traced" and .programs == 2 and
		.session.current > 5000'
	tmbpf status "${GROUP[@]}" --json >status.json
	# The sleep of the shell was looked at, and left alone.
	jq -e '[.processes[] | select(.command_line | startswith("sleep"))] |
		all(.state == "other" or .state == "new")' status.json
	jq -e '.losses.failed == null' status.json
}

@test "children that end at once are counted" {
	start_workers 1
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	tell_target "short 20"
	wait_target "done"
	# Each was either traced until its end or is told of as missed.
	wait_until group_is '([.processes[] | select(.state == "ended")] | length) +
		.losses.ended_early == 20'
	run -0 tmbpf status "${GROUP[@]}"
	[[ $output == *"CPythons that ended before they could be traced"* ]]
}

# worker_keeps: whether WORKER's snapshot names who keeps its blocks
worker_keeps()
{
	tmbpf snapshot -p "$WORKER" -o worker.pb.gz &&
		tmbpf stats worker.pb.gz --format json |
		jq -e 'any(.statistics[]; .traceback[0].function == "keep" and .size > 50000)'
}

@test "multiprocessing: fork and spawn" {
	local method
	for method in fork spawn; do
		cat >pool.py <<-CODE
			import multiprocessing, os, sys, time
			def keep(seconds):
			    kept = []
			    end = time.monotonic() + seconds
			    while time.monotonic() < end:
			        kept.append(bytes(3000))
			        time.sleep(0.005)
			if __name__ == "__main__":
			    print("READY", flush=True)
			    sys.stdin.readline()
			    context = multiprocessing.get_context("$method")
			    worker = context.Process(target=keep, args=(30,))
			    worker.start()
			    print("worker", worker.pid, flush=True)
			    sys.stdin.readline()
			    worker.terminate()
			    worker.join()
		CODE
		start_target pool.py
		GROUP=(-p "$TARGET_PID" --follow)
		tmbpf start "${GROUP[@]}" --exact
		tell_target
		read_pid
		wait_until process_is "$WORKER" '.state == "traced"'
		wait_until worker_keeps
		tell_target
		wait_until process_is "$WORKER" '.state == "ended"'
		tmbpf stop "${GROUP[@]}"
		nothing_left
	done
}

@test "what a forked child has from its parent: by line where that was traced, else counted" {
	local held
	start_workers 1
	GROUP=(-p "$TARGET_PID" --follow)
	tell_target "hold 20000"
	wait_target "done"
	tmbpf start "${GROUP[@]}" --exact
	process_is "$TARGET_PID" '.session | (.before.count > 1000) and
		.before.inherited == false and .inherited == null'
	tell_target inherit
	read_pid
	wait_until process_is "$WORKER" '.state == "traced"'
	process_is "$WORKER" ".session.before | .count > 1000 and .inherited"
	# It keeps ten thousand of its parent's blocks, which are from before tracing: they are no
	# growth of its own.
	process_is "$WORKER" '.session.blocks < 10000'
	# These its parent takes while it is traced, and the child keeps half of all.
	tell_target "hold 20000"
	wait_target "done"
	tell_target inherit
	read_pid
	wait_until process_is "$WORKER" ".state == \"traced\" and
		.session.inherited.parent == $TARGET_PID"
	# It freed its half at once: before or after its probes were on.
	wait_until process_is "$WORKER" '.session.blocks < 11000'
	process_is "$WORKER" '.session.blocks >= 10000 and .session.inherited.unread.count == 0 and
		(.session.losses | length) == 0'
	tmbpf snapshot -p "$WORKER" -o child.pb.gz
	held=$(tmbpf stats child.pb.gz --format json --include '*/workers.py' --limit 1)
	jq -e '.statistics[0] | .count == 10000 and
		(.traceback[0].function | test("^hold"))' <<<"$held"
	run -0 tmbpf status -p "$WORKER"
	[[ $output == *"inherited "*" from process $TARGET_PID by fork"* ]]
	tmbpf clear -p "$WORKER"
	process_is "$WORKER" '.session | .before.inherited == false and .inherited == null'
}

@test "when all have ended the group's last totals stay, until they are forgotten" {
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	wait_until process_is "${WORKERS[0]}" '.session.current > 5000'
	tell_target end
	wait_until group_is '.state == "ended"'
	process_is "${WORKERS[0]}" '.state == "ended" and .session.current > 5000'
	run -0 tmbpf status "${GROUP[@]}"
	[[ $output == *"all have ended"* ]]
	# Also where nobody asks for it.
	run -0 tmbpf status
	[[ $output == *"all have ended"* ]]
	tmbpf snapshot "${GROUP[@]}" -o all
	[[ -s all/${WORKERS[0]}.pb.gz ]]
	# What has come under one of the pids since, another's, is left alone.
	jq -c '.group = "follow-1"' "$TMBPF_RUN/${WORKERS[0]}.status" >other.status
	mv other.status "$TMBPF_RUN/${WORKERS[0]}.status"
	run -0 --separate-stderr tmbpf snapshot "${GROUP[@]}" -o rest
	[[ -s rest/${WORKERS[1]}.pb.gz && ! -e rest/${WORKERS[0]}.pb.gz ]]
	[[ $stderr == *"no snapshot of process ${WORKERS[0]}"* ]]
	run -0 tmbpf stop "${GROUP[@]}"
	[[ -e $TMBPF_RUN/${WORKERS[0]}.status && ! -e $TMBPF_RUN/${WORKERS[1]}.status ]]
	tmbpf stop -p "${WORKERS[0]}"
	nothing_left
}

@test "clear, and the live view of a group" {
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	run -0 tmbpf "${GROUP[@]}" --exact --count 2 -i 1 -n 3
	[[ $output == *"since last"*"pid"*"line"* ]]
	[[ $output == *" ${WORKERS[0]}  "*"workers.py:"*" leak"* ]]
	# It began the sessions, and ends them; when `stop` returns others may begin.
	nothing_left
	for _ in 1 2 3 4 5; do
		tmbpf start "${GROUP[@]}" --exact
		tmbpf stop "${GROUP[@]}"
		nothing_left
	done
	tmbpf start "${GROUP[@]}" --exact
	wait_until process_is "${WORKERS[0]}" '.session.blocks > 100'
	kill -STOP "${WORKERS[0]}"
	run -0 tmbpf clear "${GROUP[@]}"
	[[ $output == "3 processes"* ]]
	process_is "${WORKERS[0]}" '.session.blocks == 0'
	kill -CONT "${WORKERS[0]}"
	# One that is there already is shown, and stays; it has to be what was asked for.
	run -0 tmbpf "${GROUP[@]}" --count 1 -i 1
	run -0 tmbpf "${GROUP[@]}" --count 1 -i 1 --exact
	run -2 --separate-stderr tmbpf "${GROUP[@]}" --count 1 -i 1 --overhead 3
	[[ $stderr == *"is traced already (exact, 25 frames), and --overhead "* &&
		$stderr == *" and --overhead would need another session"* ]]
	[[ $stderr == *"\`tmbpf stop -p $TARGET_PID --follow\`"* ]]
	process_is "${WORKERS[0]}" '.state == "traced"'
}

@test "snapshot --for starts, waits and stops; estimates as well" {
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	run -0 tmbpf snapshot "${GROUP[@]}" --for 3s -o some
	[[ -s some/${WORKERS[0]}.pb.gz && -s some/${WORKERS[1]}.pb.gz &&
		-s some/$TARGET_PID.pb.gz ]]
	nothing_left
	tmbpf stats some/*.pb.gz --format json | jq -e '.snapshot.mode == "estimate"'
	run -2 tmbpf snapshot "${GROUP[@]}" -o -
}

@test "a control group of version 2 and of version 1: those that are there and those that come" {
	local base folder
	# pids alone is a hierarchy of version 1 here and there.
	for base in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/pids; do
		[[ -f $base/cgroup.procs &&
			($base != /sys/fs/cgroup || -f $base/cgroup.controllers) ]] || continue
		folder=$base/tmbpf-test-$$-${base##*/}
		mkdir "$folder"
		CGROUPS+=("$folder")
		start_workers 1
		echo "$TARGET_PID" >"$folder/cgroup.procs"
		GROUP=(--cgroup "$folder")
		run -0 tmbpf start "${GROUP[@]}" --exact
		# The worker was there before, and stayed outside.
		[[ $output == *": 1 process is traced"* ]]
		tell_target fork
		read_pid
		wait_until process_is "$WORKER" '.state == "traced" and .session.blocks > 0'
		tell_target shell
		read_pid
		wait_until process_is "$WORKER" '.state == "traced" and .session.blocks > 0'
		# Who is put in by others is found as well.
		echo "${WORKERS[0]}" >"$folder/cgroup.procs"
		wait_until process_is "${WORKERS[0]}" '.state == "traced"'
		# By its name, as runc's containers are called.
		run -1 --separate-stderr tmbpf start --container "${folder##*/}"
		run -0 tmbpf stop "${GROUP[@]}"
		nothing_left
		GROUP=(--container "${folder##*/}")
		tmbpf start "${GROUP[@]}" --exact
		group_is ".container.name == \"${folder##*/}\" and .counts.traced >= 3"
		tell_target end
		wait_until cgroup_remove "$folder"
		wait_until group_is '.state == "ended"'
		tmbpf stop "${GROUP[@]}"
		nothing_left
	done
	((${#CGROUPS[@]} > 0)) || skip "there is no control group to make one in"
	CGROUPS=()
}

# shop_make: the shop, in ./shop; the second of its workers leaks, and says who it is in `leaking`.
# The master waits for `go` before it does anything.
shop_make()
{
	mkdir shop
	cd shop || return
	cp "$TARGETS/leaky_shop.py" .
	cat >shop.py <<-'CODE'
		import os
		import leaky_shop
		def application(environ, start_response):
		    if os.environ["LEAKS"] == "no":
		        leaky_shop.visitors.clear()
		    def start(status, headers):
		        return start_response(status, headers + [("X-Leaks", os.environ["LEAKS"])])
		    return leaky_shop.application(environ, start)
	CODE
	cat >conf.py <<-'CODE'
		import os, time
		while not os.path.exists("go"):
		    time.sleep(0.05)
		def post_fork(server, worker):
		    os.environ["LEAKS"] = "yes" if worker.age == 2 else "no"
		    if worker.age == 2:
		        with open("leaking", "w") as f:
		            f.write(str(worker.pid))
	CODE
	cat >ask.py <<-'CODE'
		import socket
		leaked, i = 0, 0
		# The kernel chooses who answers: until the one that leaks has answered fifty times.
		while leaked < 50 and i < 20000:
		    with socket.socket(socket.AF_UNIX) as s:
		        s.connect("shop.sock")
		        s.sendall(b"GET /article/%d?visitor=%d HTTP/1.0\r\n"
		                  b"Host: 127.0.0.1\r\n\r\n" % (i, i))
		        answer = b""
		        for data in iter(lambda: s.recv(65536), b""):
		            answer += data
		        assert b" 200 " in answer
		        leaked += b"X-Leaks: yes" in answer
		        i += 1
	CODE
}

# shop_open OPTION...: gunicorn's master
shop_open()
{
	local PYTHON=(/usr/bin/python3 /usr/bin/gunicorn)
	start_quiet_target --config conf.py --workers 4 --timeout 0 --bind unix:shop.sock "$@" \
		shop:application
}

# shop_visit: what is done once first; then the leak
shop_visit()
{
	/usr/bin/python3 ask.py
	tmbpf clear "${GROUP[@]}"
	/usr/bin/python3 ask.py
}

# shop_leak_named PID: among its workers' snapshots in ./all, PID is the one that leaks, and by
# which line
shop_leak_named()
{
	run -0 tmbpf diff --by-process all/*.pb.gz --include '*/leaky_shop.py' --limit 1
	[[ $output == *"pid $1 "*"leaky_shop.py:"* ]]
	tmbpf diff --by-process all/*.pb.gz --include '*/leaky_shop.py' --format json |
		jq -e --argjson pid "$1" '([.snapshots[].pid] | index($pid)) as $i |
			.differences[0].values |
			.[$i].size == ([.[].size] | max) and .[$i].size > 20000'
}

# tracers_note FILE: adds what the tracers of the group hold in the kernel now to FILE, and their
# pids to FILE.pids
tracers_note()
{
	local tracer
	for tracer in $(group_status | jq '.watcher_pid,
		(.processes[] | select(.state == "traced") | .session.tracer_pid)'); do
		bpf_objects "$tracer" >>"$1"
		echo "$tracer" >>"$1.pids"
	done
}

# tracers_left_nothing FILE: the kernel has none of all that any more
tracers_left_nothing()
{
	local tracer
	while read -r tracer; do
		wait_until tracer_gone "$tracer"
		# Where probes are events of tracefs, they are called after who made them.
		if grep -qs "tmbpf_$tracer/" /sys/kernel/tracing/uprobe_events; then
			return 1
		fi
	done <"$1.pids"
	wait_until none_left "$1"
}

@test "gunicorn with four workers: who leaks is named, and the line; killed ones leave nothing" {
	requires command:gunicorn module:django command:bpftool
	local leaking worker i
	shop_make
	touch go
	shop_open
	wait_until test -S shop.sock
	wait_until test -s leaking
	leaking=$(<leaking)
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	wait_until group_is '.counts.traced == 5'
	shop_visit
	tmbpf snapshot "${GROUP[@]}" -o all
	shop_leak_named "$leaking"
	worker=$leaking
	for i in 6 7 8; do
		tracers_note held
		kill -KILL "$worker"
		wait_until process_is "$worker" '.state == "ended" and .session.state == "exited"'
		wait_until group_is ".counts.traced == 5 and .counts.sessions == $i"
		worker=$(group_status |
			jq '[.processes[] | select(.state == "traced") | .pid] | max')
	done
	# No session was lost: those of the workers that were killed can still be asked for.
	group_is '(.losses | length) == 0'
	tmbpf snapshot "${GROUP[@]}" -o later
	(($(find later -name '*.pb.gz' | wc -l) == 8)) || return
	tracers_note held
	# Of a hundred and more there is at least a link and a program for each session.
	(($(wc -l <held) >= 16)) || return
	tmbpf stop "${GROUP[@]}"
	nothing_left
	tracers_left_nothing held
	target_alive
	no_breakpoints "$TARGET_PID"
	for worker in $(<"/proc/$TARGET_PID/task/$TARGET_PID/children"); do
		no_breakpoints "$worker"
	done
}

@test "--cgroup: gunicorn's workers inherit what its master preloaded; who leaks is named" {
	requires command:gunicorn module:django
	local base folder worker
	for base in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[[ -f $base/cgroup.procs && -f $base/cgroup.controllers ]] || continue
		folder=$base/tmbpf-test-$$-shop
		break
	done
	[[ $folder ]] && mkdir "$folder" || skip "there is no control group to make one in"
	CGROUPS+=("$folder")
	shop_make
	shop_open --preload
	echo "$TARGET_PID" >"$folder/cgroup.procs"
	GROUP=(--cgroup "$folder")
	tmbpf start "${GROUP[@]}" --exact
	wait_until process_is "$TARGET_PID" '.state == "traced"'
	touch go
	wait_until test -S shop.sock
	wait_until group_is '.counts.traced == 5'
	worker=$(<leaking)
	process_is "$worker" ".session.inherited | .parent == $TARGET_PID and .count > 10000 and
		.changed.count < .count / 10"
	tmbpf snapshot -p "$worker" -o worker.pb.gz
	tmbpf stats worker.pb.gz --group-by traceback --format json --limit 0 >worker.json
	jq -e '[.statistics[] | select(any(.traceback[]; .filename | endswith("/leaky_shop.py"))) |
		.size] | add > 100000' worker.json
	shop_visit
	tmbpf snapshot "${GROUP[@]}" -o all
	shop_leak_named "$worker"
	kill -KILL "$worker"
	wait_until group_is '.counts.traced == 5 and .counts.sessions == 6'
	tmbpf stop "${GROUP[@]}"
	nothing_left
}

@test "what is asked wrongly, and what is not there" {
	run -2 tmbpf start --follow
	run -2 tmbpf start -p 1 --container x
	run -2 tmbpf start --cgroup relative
	run -3 --separate-stderr tmbpf start --container no-such-container
	[[ $stderr == *no-such-container* ]]
	run -3 --separate-stderr tmbpf start --cgroup /no/such/group
	run -3 --separate-stderr tmbpf status --container no-such-container
	run -3 --separate-stderr tmbpf stop --cgroup /no/such/group
	run -3 --separate-stderr tmbpf start -p 4194303 --follow
	nothing_left
}
