# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Parse, build, dump: what a service does with a JSON request of about 12 KB.

An iteration parses the document, builds an object for each order in it, sums them up by customer,
makes the answer and dumps it. The parser runs nine frames deep, the rest seven to ten. See loop.py
for the arguments.
"""
import json

import loop


def document():
    orders = []
    for i in range(40):
        lines = [
            {"sku": "sku-%05d" % (i * 7 + k), "quantity": 1 + (i + k) % 5,
             "price": 2.5 * (k + 1) + i / 8.0}
            for k in range(3)
        ]
        orders.append({
            "id": 100000 + i,
            "customer": {"name": "customer-%d" % (i % 12), "city": "city-%d" % (i % 7)},
            "lines": lines,
            "note": "deliver to the back door, ring twice",
            "paid": i % 3 == 0,
        })
    return json.dumps({"orders": orders, "page": 1, "total": len(orders)})


class Line:
    __slots__ = ("sku", "quantity", "price")

    def __init__(self, sku, quantity, price):
        self.sku = sku
        self.quantity = quantity
        self.price = price

    def amount(self):
        return self.quantity * self.price


class Order:
    def __init__(self, number, customer, lines, note):
        self.number = number
        self.customer = customer
        self.lines = lines
        self.note = note

    def total(self):
        return sum([line.amount() for line in self.lines])


class Service:
    def __init__(self, text):
        self.text = text

    def serve(self, n):
        size = 0
        for _ in range(n):
            size += len(self.handle(self.text))
        return size

    def handle(self, text):
        return self.answer(self.parse(text))

    def parse(self, text):
        data = json.loads(text)
        return [self.order(item) for item in data["orders"]]

    def order(self, item):
        customer = "%s of %s" % (item["customer"]["name"], item["customer"]["city"])
        lines = [Line(line["sku"], line["quantity"], line["price"]) for line in item["lines"]]
        return Order(item["id"], customer, lines, item["note"].upper())

    def answer(self, orders):
        by_customer = {}
        for order in orders:
            by_customer.setdefault(order.customer, []).append((order.number, order.total()))
        return json.dumps({
            name: {"orders": [number for number, _ in found],
                   "sum": "%.2f" % sum([s for _, s in found])}
            for name, found in by_customer.items()
        })


TEXT = document()
SERVICE = Service(TEXT)

if __name__ == "__main__":
    loop.main(SERVICE.serve, 5, __doc__)
