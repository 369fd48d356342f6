#!/usr/bin/env python3
"""SipHash from its paper (Aumasson and Bernstein, 2012), in whole numbers: the vectors of hash_test.c.

Prints SipHash-1-3 of the bytes 00 01 02 ... of each length, under the paper's key, after it has
checked itself: SipHash-2-4 against the value in the paper's appendix A, and SipHash-1-3 against
Python's own hash where that is SipHash-1-3.
"""

import subprocess
import sys

MASK = (1 << 64) - 1


def rotate(x, bits):
    return (x << bits | x >> (64 - bits)) & MASK


def sip_round(v0, v1, v2, v3):
    v0 = (v0 + v1) & MASK
    v2 = (v2 + v3) & MASK
    v1 = rotate(v1, 13) ^ v0
    v3 = rotate(v3, 16) ^ v2
    v0 = rotate(v0, 32)
    v2 = (v2 + v1) & MASK
    v0 = (v0 + v3) & MASK
    v1 = rotate(v1, 17) ^ v2
    v3 = rotate(v3, 21) ^ v0
    v2 = rotate(v2, 32)
    return v0, v1, v2, v3


def siphash(compression, finalization, key, data):
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = (k0 ^ int.from_bytes(b"somepseu", "big"), k1 ^ int.from_bytes(b"dorandom", "big"),
         k0 ^ int.from_bytes(b"lygenera", "big"), k1 ^ int.from_bytes(b"tedbytes", "big"))
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at:at + 8], "little")
        v = (v[0], v[1], v[2], v[3] ^ word)
        for _ in range(compression):
            v = sip_round(*v)
        v = (v[0] ^ word, v[1], v[2], v[3])
    v = (v[0], v[1], v[2] ^ 0xFF, v[3])
    for _ in range(finalization):
        v = sip_round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def check():
    key = bytes(range(16))
    assert siphash(2, 4, key, bytes(range(15))) == 0xA129CA6149BE45E5
    if sys.hash_info.algorithm != "siphash13":
        return
    for text in (b"a", b"sensor-7", b"a/b/c/d/e/f/g/h"):
        said = subprocess.run([sys.executable, "-c", f"print(hash({text!r}))"], check=True,
                              capture_output=True, env={"PYTHONHASHSEED": "0"})
        assert siphash(1, 3, bytes(16), text) == int(said.stdout) & MASK


def main():
    check()
    for size in range(0, 64, 3):
        print(", ".join(f"0x{siphash(1, 3, bytes(range(16)), bytes(range(length))):016x}"
                        for length in range(size, min(size + 3, 64))) + ",")


if __name__ == "__main__":
    main()
