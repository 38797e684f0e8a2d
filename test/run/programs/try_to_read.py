"""A program that wants the long-lived key of its run, and tries what it can. Prints what each attempt gave."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request

key, folder, link, mark, starter = sys.argv[1:6]
own = tempfile.mkdtemp()
signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # what is sent to mayfly comes back


def read(path):
    with open(path, "rb", buffering=0) as file:
        return file.read(1_000_000).decode("latin-1")


def run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return (done.stdout + done.stderr).decode("latin-1")


def parent_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))


def ancestors():
    """Up to the one that started mayfly: what is above that is not to be disturbed."""
    pid = os.getppid()
    while pid > 0:
        yield pid
        pid = 0 if str(pid) == starter else parent_of(pid)


def memory(pid):
    """Where it can be written, a process has what it knows."""
    found = ""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            places, rights = line.split()[:2]
            start, end = (int(place, 16) for place in places.split("-"))
            if "rw" in rights and end - start < 200_000_000:
                try:
                    mem.seek(start)
                    if mark.encode() in mem.read(end - start):
                        found += "found " + mark
                except (OSError, ValueError, OverflowError):
                    pass
    return found


def open_files(pid):
    paths = [f"/proc/{pid}/fd/{one}" for one in os.listdir(f"/proc/{pid}/fd")]
    return "".join(attempt(lambda: read(path)) for path in paths if os.path.isfile(path))


def in_nested_namespace(script):
    return run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", key, folder, own)


def debugger(pid):
    os.kill(pid, signal.SIGUSR1)
    for port in (9229, 9230):
        try:
            return "debugger " + mark + urllib.request.urlopen(f"http://127.0.0.1:{port}/json/version", timeout=2).read().decode()
        except OSError as error:
            said = str(error)
    return said


def core_of(pid):
    os.kill(pid, 0)  # who cannot end it cannot have it dumped
    said = run("prlimit", "--pid", str(pid), "--core=unlimited:unlimited")
    with open(f"/proc/{pid}/limits") as limits:
        line = next(line for line in limits if line.startswith("Max core file size"))
    return said + ("" if line.split()[4:6] == ["0", "0"] else "dumps core: " + mark)


def moved():
    os.rename(key, key + ".moved")
    try:
        return read(key + ".moved")
    finally:
        os.rename(key + ".moved", key)


def linked():
    hard = own + "/hard"
    os.link(key, hard)
    try:
        return read(hard)
    finally:
        os.unlink(hard)


def attempt(work):
    try:
        return work()
    except Exception as error:  # each attempt may fail in its own way
        return f"{type(error).__name__}: {error}"


pids = list(ancestors())
mayfly = pids[0]
attempts = {
    "the file": lambda: read(key),
    "the file by its link": lambda: read(link),
    "standard input, from its start": lambda: str(os.lseek(0, 0, os.SEEK_SET)) + read("/proc/self/fd/0"),
    "every file of the folder": lambda: run("grep", "-r", "", folder),
    "the environment of each ancestor": lambda: "".join(attempt(lambda: read(f"/proc/{pid}/environ")) for pid in pids),
    "the memory of mayfly": lambda: memory(mayfly),
    "open files of each ancestor": lambda: "".join(attempt(lambda: open_files(pid)) for pid in pids),
    "the file below the root of each ancestor": lambda: "".join(
        attempt(lambda: read(f"/proc/{pid}/root{key}")) for pid in pids
    ),
    "the namespace of its parent": lambda: run("nsenter", "--target", str(mayfly), "--mount", "cat", key)
    + run("nsenter", "--target", str(mayfly), "--user", "--mount", "cat", key),
    "taking off the cover": lambda: run("umount", key) + run("umount", "-l", folder) + read(key),
    "taking off the cover in a nested namespace": lambda: in_nested_namespace('umount -l "$1"; umount -l "$2"; cat "$1"'),
    "the folder above, bound elsewhere in a nested namespace": lambda: in_nested_namespace(
        'mount --bind "$(dirname "$1")" "$3"; cat "$3/$(basename "$1")"; mount --rbind / "$3" && cat "$3$1"'
    ),
    "the folder above as a layer of another one": lambda: in_nested_namespace(
        'mount -t overlay overlay -o "lowerdir=$(dirname "$1"):$3" "$3" && cat "$3/$(basename "$1")"'
    ),
    "a root of its own in a nested namespace": lambda: in_nested_namespace('chroot / cat "$1"; pivot_root / "$3"; cat "$1"'),
    "the file under another name": lambda: moved(),
    "a hard link that it makes": lambda: linked(),
    "mayfly's debugger": lambda: debugger(mayfly),
    "a core dump of mayfly": lambda: core_of(mayfly),
}
print(json.dumps({name: attempt(work) for name, work in attempts.items()}))
