# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Forks a child for each line that it reads, and says its pid. Children do nothing, and end with
their parent."""
import os
import sys
import time

parent = os.getpid()
print("READY", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        while os.getppid() == parent:
            time.sleep(0.05)
        os._exit(0)
    print(child, flush=True)
