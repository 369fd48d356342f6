"""A file system of a few megabytes that a case has for itself, and can fill or make read-only.

It is an ext4 in a file, mounted in a mount namespace of the case's own, so that it goes with the
case. Where that is not allowed, the case is skipped and says so.
"""

import ctypes
import os
import subprocess

from case import Skip

CLONE_NEWNS = 0x00020000
MEGABYTE = 1 << 20


def _run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode:
        raise Skip(f"{' '.join(command)}: {done.stdout.strip()}")


class SmallDisk:
    def __init__(self, t, megabytes=16):
        self.path, image = os.path.join(t.directory, "disk"), os.path.join(t.directory, "image")
        os.makedirs(self.path)
        with open(image, "wb") as file:
            file.truncate(megabytes * MEGABYTE)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", image)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS):
            raise Skip(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
        _run("mount", "--make-rprivate", "/")
        _run("mount", "-o", "loop", image, self.path)

    def remount(self, how):
        _run("mount", "-o", f"remount,{how}", self.path)

    def fill(self):
        """Not a byte is left."""
        with open(os.path.join(self.path, "filler"), "ab", buffering=0) as file:
            for size in (MEGABYTE, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def free(self):
        os.unlink(os.path.join(self.path, "filler"))
