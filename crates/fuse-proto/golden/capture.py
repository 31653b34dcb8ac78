#!/usr/bin/env python3
"""Captures the requests that Linux sends to a FUSE server, for the test beside.

    unshare -m python3 capture.py > linux.txt

It mounts a file system of its own on a temporary directory, twice, and does in it whatever makes the kernel send each
of the requests. The server behind it remembers just enough to keep the kernel going: kinds, sizes and names. Each
request that arrives is one line, its name and its bytes. Look-ups and the like that only repeat are left out.

It needs root, /dev/fuse and Python alone. The second mount agrees to DONT_MASK, SECURITY_CTX and CREATE_SUPP_GROUP, and
only what creates something is kept of it.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
OPERATIONS = dict(
    LOOKUP=1, FORGET=2, GETATTR=3, SETATTR=4, READLINK=5, SYMLINK=6, MKNOD=8, MKDIR=9, UNLINK=10, RMDIR=11, RENAME=12,
    LINK=13, OPEN=14, READ=15, WRITE=16, STATFS=17, RELEASE=18, FSYNC=20, SETXATTR=21, GETXATTR=22, LISTXATTR=23,
    REMOVEXATTR=24, FLUSH=25, INIT=26, OPENDIR=27, READDIR=28, RELEASEDIR=29, FSYNCDIR=30, GETLK=31, SETLK=32,
    SETLKW=33, ACCESS=34, CREATE=35, INTERRUPT=36, DESTROY=38, BATCH_FORGET=42, FALLOCATE=43, RENAME2=45, LSEEK=46,
    COPY_FILE_RANGE=47, SYNCFS=50, TMPFILE=51, STATX=52, COPY_FILE_RANGE_64=53)
NAMES = {code: name for name, code in OPERATIONS.items()}
CREATING = ["MKDIR", "MKNOD", "SYMLINK", "CREATE", "TMPFILE"]
ONCE = ["LOOKUP", "GETATTR", "GETXATTR", "FORGET", "BATCH_FORGET", "STATFS"]

# ASYNC_READ, POSIX_LOCKS, ATOMIC_O_TRUNC, BIG_WRITES, FLOCK_LOCKS, AUTO_INVAL_DATA, PARALLEL_DIROPS, MAX_PAGES,
# HANDLE_KILLPRIV_V2, SETXATTR_EXT, INIT_EXT
AGREED = sum(1 << bit for bit in (0, 1, 3, 5, 10, 12, 18, 22, 28, 29, 30))
DONT_MASK = 1 << 6
SECURITY_CTX_AND_CREATE_SUPP_GROUP = 1 << 0 | 1 << 2

DIRECTORY, SYMLINK = 0o040000, 0o120000
FIRST_HANDLE = 0x1122334400


def take(form, data, offset=0):
    return struct.unpack_from("<" + form, data, offset)


def name_at(data, offset=0):
    return data[offset:].split(b"\0")[0]


class Server:
    def __init__(self, agrees_to_extensions):
        self.agrees_to_extensions = agrees_to_extensions
        self.modes = {1: DIRECTORY | 0o2775}
        self.sizes = {}
        self.names = {}

    def attributes(self, node):
        group = 8 if node == 1 else 0
        return struct.pack("<6Q10I", node, self.sizes.get(node, 4096), 8, 1000, 2000, 3000, 0, 0, 0, self.modes[node], 1,
                           0, group, 0, 4096, 0)

    def entry(self, node):
        return struct.pack("<4Q2I", node, 1, 0, 0, 0, 0) + self.attributes(node)

    def make(self, parent, name, mode):
        node = len(self.modes) + 1
        self.modes[node] = mode
        self.names[parent, name] = node
        return self.entry(node)

    def opened(self, node):
        return struct.pack("<Q2I", FIRST_HANDLE + node, 0, 0)

    def answer(self, operation, node, body):
        """The payload of the reply, or a negative error."""
        if operation == "INIT":
            flags, flags2 = take("2I", body, 12)
            flags &= AGREED | (DONT_MASK if self.agrees_to_extensions else 0)
            flags2 &= SECURITY_CTX_AND_CREATE_SUPP_GROUP if self.agrees_to_extensions else 0
            return struct.pack("<4I2H2I2H2IH22x", 7, 45, 0, flags, 12, 9, 1 << 20, 1, 256, 0, flags2, 0, 0)
        if operation == "LOOKUP":
            found = self.names.get((node, name_at(body)))
            return self.entry(found) if found else -errno.ENOENT
        if operation in ("GETATTR", "SETATTR"):
            if operation == "SETATTR" and body[0] & 8:
                self.sizes[node], = take("Q", body, 16)
            return struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if operation == "SYMLINK":
            return self.make(node, name_at(body), SYMLINK | 0o777)
        if operation == "MKNOD":
            return self.make(node, name_at(body, 16), *take("I", body))
        if operation == "MKDIR":
            return self.make(node, name_at(body, 8), DIRECTORY | take("I", body)[0])
        if operation in ("CREATE", "TMPFILE"):
            entry = self.make(node, name_at(body, 16), *take("I", body, 4))
            return entry + self.opened(*take("Q", entry))
        if operation == "LINK":
            linked, = take("Q", body)
            self.names[node, name_at(body, 8)] = linked
            return self.entry(linked)
        if operation in ("UNLINK", "RMDIR"):
            del self.names[node, name_at(body)]
        if operation in ("RENAME", "RENAME2"):
            start = 8 if operation == "RENAME" else 16
            old, new = (node, name_at(body, start)), (take("Q", body)[0], body[start:].split(b"\0")[1])
            there = self.names.pop(new, None)
            self.names[new] = self.names.pop(old)
            if operation == "RENAME2" and body[8] == 2:
                self.names[old] = there
        if operation in ("OPEN", "OPENDIR"):
            return self.opened(node)
        if operation == "READ":
            return b"x" * min(4096, *take("I", body, 16))
        if operation == "WRITE":
            return struct.pack("<2I", *take("I", body, 16), 0)
        if operation == "READLINK":
            return b"target/of/it"
        if operation == "STATFS":
            return struct.pack("<5Q4I24x", 1000, 900, 900, 100, 90, 4096, 255, 4096, 0)
        if operation == "GETXATTR":
            if not name_at(body, 8).startswith(b"user."):
                return -errno.ENODATA
            return b"blue" if take("I", body)[0] else struct.pack("<2I", 4, 0)
        if operation == "LISTXATTR":
            return b"user.colour\0" if take("I", body)[0] else struct.pack("<2I", 12, 0)
        if operation == "GETLK":
            return struct.pack("<2Q2I", 0, 0, fcntl.F_UNLCK, 0)
        if operation in ("LSEEK", "COPY_FILE_RANGE_64"):
            return struct.pack("<Q", 100)
        return b"" if operation in NAMES.values() and operation not in ("STATX", "SYNCFS") else -errno.ENOSYS

    def serve(self, device):
        seen = set()
        while True:
            try:
                request = os.read(device, 1 << 21)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            code, unique, node = take("IQQ", request, 4)
            operation = NAMES[code]
            kept = not self.agrees_to_extensions or operation in CREATING
            if kept and not (operation in ONCE and operation in seen):
                print(operation, request.hex(), flush=True)
            seen.add(operation)
            if operation in ("FORGET", "BATCH_FORGET", "INTERRUPT"):
                continue
            reply = self.answer(operation, node, request[40:])
            error, payload = (reply, b"") if isinstance(reply, int) else (0, reply)
            os.write(device, struct.pack("<IiQ", 16 + len(payload), error, unique) + payload)


def fallocate(file, mode, offset, length):
    LIBC.fallocate(file, mode, ctypes.c_int64(offset), ctypes.c_int64(length))


def rename(root, old, new, flags):
    LIBC.renameat2(-100, f"{root}/{old}".encode(), -100, f"{root}/{new}".encode(), flags)


def create(root, prefix):
    os.mkdir(f"{root}/{prefix}directory", 0o1775)
    os.mknod(f"{root}/{prefix}node", 0o100644)
    os.symlink("target/of/it", f"{root}/{prefix}link")
    os.close(os.open(f"{root}/{prefix}new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOCTTY, 0o666))
    os.close(os.open(root, os.O_TMPFILE | os.O_RDWR, 0o666))


def exercise(root):
    os.mknod(f"{root}/pipe", 0o010640)
    os.mknod(f"{root}/null", 0o020666, os.makedev(1, 0x123))
    file = os.open(f"{root}/file", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o4755)
    os.link(f"{root}/file", f"{root}/second")
    os.write(file, b"hello, world")
    os.pwrite(file, b"far away", 0x123456789)
    os.fsync(file)
    os.fdatasync(file)
    os.ftruncate(file, 4711)
    os.truncate(f"{root}/file", 99)
    os.chmod(f"{root}/file", 0o2640)
    os.chown(f"{root}/file", 1000, 100)
    os.chown(f"{root}/file", -1, 101)
    os.utime(f"{root}/file", ns=(1_600_000_000_123456789, -5_000_000_001))
    os.utime(f"{root}/file")
    fallocate(file, 0, 4096, 8192)
    fallocate(file, 3, 100, 200)
    fallocate(file, 0x11, 100, 200)
    os.copy_file_range(file, file, 100, 0, 8192)
    os.lseek(file, 10, os.SEEK_DATA)
    os.lseek(file, 10, os.SEEK_HOLE)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 20)
    fcntl.lockf(file, fcntl.LOCK_SH, 0, 5)
    fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 3, 4, 0))
    fcntl.flock(file, fcntl.LOCK_EX)
    os.setxattr(f"{root}/file", "user.colour", b"blue", os.XATTR_CREATE)
    os.getxattr(f"{root}/file", "user.colour")
    os.listxattr(f"{root}/file")
    os.removexattr(f"{root}/file", "user.colour")
    os.access(f"{root}/file", os.R_OK)
    os.close(file)
    file = os.open(f"{root}/file", os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
    os.write(file, b"appended")
    os.close(file)
    file = os.open(f"{root}/file", os.O_RDWR)
    os.read(file, 100)
    os.close(file)
    rename(root, "second", "directory/third", 0)
    rename(root, "node", "node2", 1)
    rename(root, "node2", "file", 2)
    rename(root, "pipe", "pipe2", 4)
    directory = os.open(f"{root}/directory", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.listdir(directory)
    os.close(directory)
    os.readlink(f"{root}/link")
    os.statvfs(root)
    os.unlink(f"{root}/link")
    os.rmdir(f"{root}/directory")


def become_user():
    os.setgroups([8, 24])
    os.setgid(100)
    os.setuid(1000)


def exercise_as_user(root):
    become_user()
    file = os.open(f"{root}/mine", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.write(file, b"user")
    os.ftruncate(file, 3)
    os.close(file)


def in_child(work, *arguments):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            os._exit(status)
    return child


def wait(child):
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("a part of it failed")


def session(agrees_to_extensions):
    with tempfile.TemporaryDirectory() as root:
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if LIBC.mount(b"fuse", root.encode(), b"fuse", 0, options) != 0:
            sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
        server = in_child(Server(agrees_to_extensions).serve, device)
        os.close(device)
        try:
            os.stat(root)
            if agrees_to_extensions:
                wait(in_child(lambda: (become_user(), create(root, ""))))
            else:
                create(root, "")
                exercise(root)
                wait(in_child(exercise_as_user, root))
        finally:
            LIBC.umount2(root.encode(), 0)
        wait(server)


os.umask(0o027)
os.setgroups([])
print(f"# Linux {platform.release().split('-')[0]} on {platform.machine()}", flush=True)
session(agrees_to_extensions=False)
session(agrees_to_extensions=True)
