# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Classes with long names and many attributes, made and dropped without end, by a thread of its
own.

    classes_churn.py

Prints READY, and waits to be ended.
"""
import gc
import os
import random
import signal
import threading

HELD = 50


def churn():
    chance = random.Random(1)
    held = []
    while True:
        name = "Churned%d" % chance.randrange(10 ** 6)
        made = type(name * chance.randrange(1, 30), (),
                    {"a%d" % i: i for i in range(chance.randrange(400))})
        made.__qualname__ = name * chance.randrange(1, 100)
        held.append([made() for _ in range(chance.randrange(1, 40))])
        if len(held) > HELD:
            del held[chance.randrange(len(held))]
        if chance.random() < 0.1:
            gc.collect()


threading.Thread(target=churn, daemon=True).start()
os.write(1, b"READY\n")
while True:
    signal.pause()
