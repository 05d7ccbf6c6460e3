# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A shop on Django whose views remember too much: each request leaves a few KiB behind.

WSGI: `leaky_shop:application`. /article/N shows an article. What was looked at is kept for every
visitor, and there is no end of visitors. Run by itself it asks for RATE pages a second (100):

    leaky_shop.py [SECONDS [RATE]]

Prints READY, and at its end how many visitors it remembers.
"""
import random
import sys
import time

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template import engines
from django.urls import path

settings.configure(
    SECRET_KEY="known to all", ALLOWED_HOSTS=["127.0.0.1", "testserver"],
    ROOT_URLCONF=__name__,
    USE_TZ=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware",
                "django.middleware.security.SecurityMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()
PAGE = engines["django"].from_string(
    "<h1>{{ name|title }}</h1>{% for each in seen %}<p class=\"{% cycle 'odd' 'even' %}\">"
    "{{ each.name }}: no. {{ each.id|floatformat }}</p>{% endfor %}")
visitors = {}


def look_up(n):
    return dict(id=n, name="article %d" % n, tags=["tag %d" % i for i in range(n % 20)])  # LOOKED


def remember(visitor, article):
    history = visitors.setdefault(visitor, [])
    history.append(dict(article, at=time.time(), page="/article/%d" % article["id"]))  # REMEMBERED
    return history


def show(request, number):
    history = remember(request.GET.get("visitor", ""), look_up(number))
    return HttpResponse(PAGE.render({"name": "article %d" % number, "seen": history}))


urlpatterns = [path("article/<int:number>", show)]
application = get_wsgi_application()


def main():
    from django.test import RequestFactory
    from django.core.handlers.wsgi import WSGIHandler

    handler, factory = WSGIHandler(), RequestFactory()
    seconds, rate = [float(a) for a in sys.argv[1:3]] + [60, 100][len(sys.argv) - 1:]
    print("READY", flush=True)
    begin, asked = time.monotonic(), 0
    while time.monotonic() < begin + seconds:
        if asked < (time.monotonic() - begin) * rate:
            asked += 1
            answer = handler.get_response(factory.get("/article/%d" % random.randrange(1000),
                                                      {"visitor": "visitor %d" % asked}))
            assert answer.status_code == 200
        else:
            time.sleep(0.002)
    print(len(visitors), flush=True)


if __name__ == "__main__":
    main()
