# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A small shop on Django, in one file: what tests/bench/default loads with requests.

WSGI: `web_app:application`. /orders/N renders a page of a customer's orders, /api/N gives them as
JSON, /find?text=... searches the articles. Each asks SQLite through the ORM. The database is the
file that WEB_APP_DATABASE names; it is made and filled when it is empty.
"""
import os

import django
from django.conf import settings

CUSTOMERS = 200
ARTICLES = 300
ORDERS_EACH = 12
LINES_EACH = 4

BASE = """<!DOCTYPE html>
<html><head><title>{% block title %}shop{% endblock %}</title></head>
<body><ul>{% for name, path in menu %}<li><a href="{{ path }}">{{ name }}</a></li>{% endfor %}</ul>
{% block body %}{% endblock %}</body></html>
"""
ORDERS = """{% extends "base.html" %}
{% block title %}orders of {{ customer.name }}{% endblock %}
{% block body %}<h1>{{ customer.name|title }}, {{ customer.city }}</h1>
{% for order in orders %}
<h2>{{ order.placed|date:"j F Y" }}{% if order.paid %}, paid{% endif %}</h2>
<table>{% for line in order.lines.all %}<tr class="{% cycle 'odd' 'even' %}">
<td>{{ line.article.name }}</td><td>{{ line.count }}</td>
<td>{{ line.amount|floatformat:2 }}</td></tr>{% endfor %}</table>
<p>{{ order.note|truncatewords:6|linebreaks }}</p>{% empty %}<p>none</p>{% endfor %}{% endblock %}
"""
MENU = [("orders", "/orders/1"), ("articles", "/find?text=a"), ("about", "/about")]

settings.configure(
    SECRET_KEY="known to all",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=False,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3",
                           "NAME": os.environ["WEB_APP_DATABASE"], "CONN_MAX_AGE": None}},
    MIDDLEWARE=["django.middleware.common.CommonMiddleware",
                "django.middleware.security.SecurityMiddleware"],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader",
                                 {"base.html": BASE, "orders.html": ORDERS})]},
    }],
)
django.setup()

# These need the settings.
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.shortcuts import get_object_or_404, render  # noqa: E402
from django.urls import path  # noqa: E402


class Customer(models.Model):
    name = models.CharField(max_length=80)
    city = models.CharField(max_length=80)

    class Meta:
        app_label = "shop"


class Article(models.Model):
    name = models.CharField(max_length=80, db_index=True)
    price = models.FloatField()

    class Meta:
        app_label = "shop"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    placed = models.DateField()
    paid = models.BooleanField()
    note = models.TextField()

    class Meta:
        app_label = "shop"


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    article = models.ForeignKey(Article, models.CASCADE)
    count = models.IntegerField()

    class Meta:
        app_label = "shop"

    def amount(self):
        return self.count * self.article.price


def fill():
    """The tables and what is in them, the same each time."""
    import datetime

    with connection.schema_editor() as editor:
        for model in (Customer, Article, Order, Line):
            editor.create_model(model)
    day = datetime.date(2026, 1, 1)
    with transaction.atomic():
        Customer.objects.bulk_create([Customer(name="customer %d" % i, city="city %d" % (i % 17))
                                      for i in range(1, CUSTOMERS + 1)])
        Article.objects.bulk_create([Article(name="article %d of %s" % (i, "abcdefgh"[i % 8]),
                                             price=i * 0.75) for i in range(1, ARTICLES + 1)])
        Order.objects.bulk_create([
            Order(customer_id=1 + i % CUSTOMERS, placed=day + datetime.timedelta(days=i % 365),
                  paid=i % 3 == 0,
                  note="deliver to the back door of house %d, and ring twice, please" % (i % 90))
            for i in range(CUSTOMERS * ORDERS_EACH)])
        Line.objects.bulk_create([
            Line(order_id=1 + i // LINES_EACH, article_id=1 + i * 7 % ARTICLES, count=1 + i % 5)
            for i in range(CUSTOMERS * ORDERS_EACH * LINES_EACH)])


def orders_of(number):
    customer = get_object_or_404(Customer, pk=number)
    return customer, customer.orders.order_by("-placed").prefetch_related("lines__article")[:6]


def orders_page(request, number):
    customer, orders = orders_of(number)
    return render(request, "orders.html", {"customer": customer, "orders": orders, "menu": MENU})


def orders_json(request, number):
    customer, orders = orders_of(number)
    return JsonResponse({
        "customer": {"id": customer.pk, "name": customer.name, "city": customer.city}, "orders": [{
            "id": order.pk, "placed": order.placed.isoformat(), "paid": order.paid,
            "note": order.note,
            "lines": [{"article": line.article.name, "count": line.count, "amount": line.amount()}
                      for line in order.lines.all()],
        } for order in orders],
    })


def find(request):
    text = request.GET.get("text", "")
    found = Article.objects.filter(name__icontains=text).order_by("name")[:20]
    return JsonResponse({"text": text, "found": list(found.values("id", "name", "price"))})


urlpatterns = [path("orders/<int:number>", orders_page), path("api/<int:number>", orders_json),
               path("find", find)]

if Customer._meta.db_table not in connection.introspection.table_names():
    fill()
application = get_wsgi_application()
