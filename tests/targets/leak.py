# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A small service with a leak: a cache keyed by what never comes again, beside honest churn.

    leak.py [SECONDS]

Serves made-up requests, about 400 a second, for SECONDS (60), then ends. Prints READY once it
has warmed up. What it keeps: one Session a request, in SessionCache, for ever. What it does not
keep: everything that render_page and audit make.
"""
import collections
import json
import sys
import time


class Session:
    def __init__(self, token, user, payload):
        self.token = token
        self.user = user
        self.payload = payload
        self.history = []


class SessionCache:
    """The leak: each request brings a token of its own, and nothing is ever evicted."""

    def __init__(self):
        self.sessions = {}

    def lookup(self, token, user, body):
        session = self.sessions.get(token)
        if session is None:
            session = Session(token, user, parse_form(body))
            self.sessions[token] = session
        session.history.append("login of %s" % user)
        return session


def parse_form(body):
    return dict(field.split("=", 1) for field in body.split("&"))


def request(number):
    user = "user-%d" % (number % 50)
    body = "&".join("field%d=value %d of request %d" % (i, i, number) for i in range(12))
    return "token-%08d" % number, user, body


def render_page(session):
    rows = ["<li>%s: %s</li>" % pair for pair in sorted(session.payload.items())]
    return json.dumps({"user": session.user, "page": "<ul>%s</ul>" % "".join(rows)})


def audit(recent, session):
    recent.append((session.user, time.time()))
    return sum(1 for user, _ in recent if user == session.user)


def serve(cache, recent, number):
    token, user, body = request(number)
    session = cache.lookup(token, user, body)
    page = render_page(session)
    audit(recent, session)
    return len(page)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    cache = SessionCache()
    recent = collections.deque(maxlen=200)
    for number in range(200):
        serve(cache, recent, number)
    print("READY", flush=True)
    number = 200
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(4):
            serve(cache, recent, number)
            number += 1
        time.sleep(0.01)


if __name__ == "__main__":
    main()
