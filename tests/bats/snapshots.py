# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Small snapshots of known traces, and what Python's tracemalloc says of them.

    snapshots.py dump TRACES FILE [LIMIT]       FILE as Snapshot.dump() writes it
    snapshots.py python OLD [NEW] EXPRESSION    str() of each Statistic or StatisticDiff that
                                                EXPRESSION gives
    snapshots.py pprof FILE KEY=VALUE... PLACE=SIZE...    FILE as tmbpf writes it, with these
                                                          comments
    snapshots.py valid SCHEMA                   standard input is JSON that SCHEMA describes

TRACES is a Python expression: a list of (domain, size, frames), or of frames with the most recent
first. EXPRESSION knows `old`, `new`, Filter and DomainFilter. Runs on 3.6 and later.
"""
import gzip
import json
import os
import sys
import tracemalloc
from tracemalloc import DomainFilter, Filter

import profile


def dump(traces, file, limit="10"):
    tuples = []
    for domain, size, frames in eval(traces):
        tuples.append((domain, size, tuple(frames)) +
                      ((len(frames),) if sys.version_info >= (3, 9) else ()))
    tracemalloc.Snapshot(tuples, int(limit)).dump(file)


def python(old, *rest):
    expression = rest[-1]
    names = {"old": tracemalloc.Snapshot.load(old), "Filter": Filter, "DomainFilter": DomainFilter}
    if len(rest) > 1:
        names["new"] = tracemalloc.Snapshot.load(rest[0])
    for statistic in eval(expression, names):
        sys.stdout.buffer.write((str(statistic) + "\n").encode("utf-8", "backslashreplace"))


def pprof(file, *words):
    made = profile.Profile()
    for word in words:
        key, _, value = word.partition("=")
        filename, _, lineno = key.rpartition(":")
        if filename:
            made.sample([(filename, int(lineno))], (1, int(value), 1, int(value)), {})
        else:
            made.comment("tmbpf.%s=%s" % (key, value))
    with gzip.open(file, "wb") as out:
        out.write(made.encode())


def valid(schema):
    import jsonschema
    with open(schema) as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.load(sys.stdin))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    {"dump": dump, "python": python, "pprof": pprof, "valid": valid}[sys.argv[1]](*sys.argv[2:])
