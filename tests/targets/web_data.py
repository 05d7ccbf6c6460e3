# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A process as many are: Django's models on SQLite, a data frame of pandas, a database of its own.

Prints READY when it holds them all, and ends with its standard input.
"""
import os
import sqlite3

import django
import numpy
import pandas
from django.conf import settings
from django.core.management import call_command

USERS = 20000
ROWS = 500000

settings.configure(
    SECRET_KEY="known to all",
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()


def users():
    from django.contrib.auth.models import User

    call_command("migrate", verbosity=0)
    User.objects.bulk_create(
        User(username="user %d" % i, email="user%d@example.org" % i) for i in range(USERS))
    return list(User.objects.all())


def frame():
    whole = pandas.DataFrame({
        "number": numpy.arange(ROWS),
        "value": numpy.random.default_rng(1).random(ROWS),
        "name": ["name %d" % (i % 1000) for i in range(ROWS)],
    })
    return whole, whole.groupby("name").agg({"number": "count", "value": "sum"})


def table():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table lines (number integer primary key, text text)")
    connection.executemany("insert into lines values (?, ?)",
                           ((i, "line %d" % i) for i in range(100000)))
    connection.commit()
    return connection


def main():
    kept = users(), frame(), table()
    os.write(1, b"READY\n")
    os.read(0, 1)
    return kept


if __name__ == "__main__":
    main()
