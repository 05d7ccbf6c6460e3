# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Forges plans that tmbpf keeps: forged_plan.py IMAGE PLAN...

Each site of each PLAN, made for the file IMAGE, that is on a long conditional jump moves by a byte:
it says of itself what stands there in IMAGE, and the checksum is right. The kernel would put probes
there, for what follows is an instruction as well; who passes the jump would die of it. Prints how
many sites were moved.
"""
import struct
import sys
import zlib

# struct header and struct site of user/probe/: magic; the question, at whose end are four sizes;
# size, checksum; addresses, the audit, how many sites and warnings there are. A site has its offset
# and address, and at its end its instruction.
SIZES, SIZE, AUDIT = 64, 80, 88 + 8 * (8 + 3 + 3)
SITE = 112
LENGTH = 92


def forge(image, path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    _, site_size, audit_size, _ = struct.unpack_from("<4I", data, SIZES)
    size, _ = struct.unpack_from("<2I", data, SIZE)
    count, _ = struct.unpack_from("<2I", data, AUDIT + audit_size)
    moved = 0
    if site_size != SITE or len(data) <= size or not count:
        sys.exit("%s: a plan of another kind: %d bytes a site, %d sites" % (path, site_size, count))
    for at in range(len(data) - size, len(data) - size + count * SITE, SITE):
        offset, address = struct.unpack_from("<2Q", data, at)
        length = data[at + LENGTH]
        if data[at + LENGTH + 1:at + LENGTH + 1 + length] != image[offset:offset + length]:
            sys.exit("%s: no site at %d" % (path, at))
        if image[offset:offset + 2] not in (b"\x0f\x84", b"\x0f\x85"):
            continue
        moved += 1
        struct.pack_into("<2Q", data, at, offset + 1, address + 1)
        data[at + LENGTH + 1:at + LENGTH + 1 + length] = image[offset + 1:offset + 1 + length]
    struct.pack_into("<I", data, SIZE + 4, 0)
    struct.pack_into("<I", data, SIZE + 4, zlib.crc32(data))
    with open(path, "wb") as file:
        file.write(data)
    return moved


with open(sys.argv[1], "rb") as program:
    content = program.read()
print(sum(forge(content, path) for path in sys.argv[2:]))
