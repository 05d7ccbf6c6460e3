# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Asks tmbpf about snapshot files what snapshot_answers.py asks Python, and holds the two answers
against each other."""
import json
import os
import pickle
import subprocess

import harness


def ask_python(python, cases):
    """Its version, as 3.15, and its answers to each case; its files are those of dumped()."""
    with open(python.path("cases"), "wb") as file:
        pickle.dump(cases, file, 4)
    os.mkdir(python.path("dumped"))
    script = python.put(os.path.join(harness.HERE, "snapshot_answers.py"))
    version = python.must(script, python.inside("cases"), python.inside("dumped"),
                          python.inside("answers"))
    with open(python.path("answers"), "rb") as file:
        return version.strip(), pickle.load(file)


def dumped(python, case, i):
    return python.path("dumped/%d.%d" % (case["number"], i))


def strict(text):
    """JSON has no lone surrogates."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def encoded(text):
    return text.encode("utf-8", "surrogatepass")


def shown(value):
    text = ascii(value)
    return text if len(text) < 300 else text[:140] + " ... " + text[-140:]


def filter_option(data):
    if data[0] == "domain":
        return encoded("--%s-domain=%d" % ("include" if data[1] else "exclude", data[2]))
    _, inclusive, pattern, lineno, all_frames, domain = data
    option = "--%s%s=%s" % ("include" if inclusive else "exclude",
                            "-all-frames" if all_frames else "", pattern)
    option += "" if lineno is None else ":%d" % lineno
    return encoded(option + ("" if domain is None else "@%d" % domain))


def options(query):
    found = [filter_option(data) for data in query["filters"]]
    if query["domain"] is not None:
        found.append(b"--domain=%d" % query["domain"])
    # Filters that look at each frame: said for each, or, where all do, for all at once too.
    files = [data for data in query["filters"] if data[0] == "file"]
    if files and all(data[4] for data in files) and len(files) % 2:
        found = [option.replace(b"-all-frames=", b"=", 1) for option in found] + [b"--all-frames"]
    return found


def run(*command):
    """Standard output, or Failed. Standard error must be empty."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    if done.returncode or done.stderr:
        raise harness.Failed(
            "exit %d: %s" %
            (done.returncode, done.stderr.decode(errors="backslashreplace").strip()[-300:]))
    return done.stdout


def same(expected, found, what, by="tmbpf"):
    if expected == found:
        return
    for i, (one, other) in enumerate(zip(expected, found)):
        if one != other:
            raise harness.Failed(
                "%s: element %d: Python has %s, %s %s" % (what, i, shown(one), by, shown(other)))
    raise harness.Failed(
        "%s: Python has %d elements, %s %d" % (what, len(expected), by, len(found)))


def json_frames(group):
    return tuple((frame["filename"], frame.get("lineno", 0)) for frame in group["traceback"])


def strict_rows(rows):
    return [(tuple((strict(filename), lineno) for filename, lineno in row[0]),) + tuple(row[1:])
            for row in rows]


def json_totals(answer):
    return [(each["size"], each["count"]) for each in answer.get("totals", [answer])]


def json_rows(answer, kind):
    if kind == "statistics":
        return [(json_frames(each), each["size"], each["count"]) for each in answer["statistics"]]
    rows = []
    for each in answer["differences"]:
        row = json_frames(each), each["size"], each["count"], each["size_diff"], each["count_diff"]
        if kind == "row":
            row += [(value["size"], value["count"]) for value in each["values"]], each["grows"]
        rows.append(row)
    return rows


def ask(tmbpf, query, files, *more):
    command = "stats" if query["kind"] == "statistics" else "diff"
    grouped = ["--group-by", query["key"]] + ["--cumulative"] * query["cumulative"]
    return run(tmbpf, command, *files, *grouped, "--limit", "0", *more, *options(query))


def check_groups(tmbpf, query, files, answer):
    """statistics() of a file, compare_to() of two, or a row of more."""
    found = json.loads(ask(tmbpf, query, files, "--format", "json").decode())
    same(strict_rows(answer["rows"]), json_rows(found, query["kind"]), "JSON")
    same(answer["totals"], json_totals(found), "totals")
    if query["kind"] != "row":
        text = ask(tmbpf, query, files, "--format", "python")
        same(answer["text"].split(b"\n"), text.split(b"\n"), "text")
    if query["kind"] == "compare_to":
        text = ask(tmbpf, query, files, "--format", "python", "--growth")
        same(answer["growth"].split(b"\n"), text.split(b"\n"), "--growth")


def check_traces(tmbpf, query, path, answer, version, limit):
    """filter_traces(): the exported file's bytes are returned."""
    text = run(tmbpf, "export", path, "--format", "tracemalloc", "--python", version,
               *options(query))
    snapshot = pickle.loads(text)
    same(answer["rows"], snapshot.traces._traces, "traces")
    if snapshot.traceback_limit != limit:
        raise harness.Failed(
            "traceback_limit: Python has %d, tmbpf %d" % (limit, snapshot.traceback_limit))
    return text
