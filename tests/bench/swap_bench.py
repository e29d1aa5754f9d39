# swap_bench.py: what swaps cost a topology that reads the spool at full speed: the gap between two batches at a sink, and throughput.
# SPDX-License-Identifier: Apache-2.0
"""For tests/bench/run. Versions of a topology that differ in an operator go live one after the other by the control socket, as fast as --swap-every
says (for throughput a tenth as often), while a backlog in the spool is worked off."""
import fcntl
import http.client
import itertools
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time

FEED = "name: feed\nsources: { in: { type: stdin } }\nsinks: { none: { type: blackhole, inputs: [in] } }\n"
# Two in a hundred records leave, so that what a batch leaves is one write, and one read here.
GAP = """name: {name}
sources: {{ in: {{ type: spool, topic: feed.in }} }}
operators:
  parsed: {{ type: parse, inputs: [in], format: json }}
  useful: {{ type: filter, inputs: [parsed], where: {{ level: [error, fatal], not: {{ service: none-{version} }} }} }}
sinks: {{ out: {{ type: stdout, inputs: [useful] }} }}
"""
JOB = """name: {name}
sources: {{ in: {{ type: spool, topic: feed.in }} }}
operators:
  parsed: {{ type: parse, inputs: [in], format: json }}
  useful: {{ type: filter, inputs: [parsed], drop_where: {{ level: [debug, trace] }} }}
  tenth: {{ type: sample, inputs: [useful], share: 10%, keep_where: {{ not: {{ level: info }} }}, stamp: false }}
  passed: {{ type: filter, inputs: [tenth], drop_where: {{ service: none-{version} }} }}
sinks: {{ landing: {{ type: files, inputs: [passed], dir: landing-{name}, level: 1 }} }}
"""
F_SETPIPE_SZ = 1031


class Socket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("sluice", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def deploy(path, file):
    connection = Socket(path)
    connection.request("POST", "/command/deploy", json.dumps({"file": str(file), "plan": "now"}))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


class Run:
    """One run of a topology over the whole backlog, in a folder whose spool was filled before; its own name, so that it begins at the start."""

    numbers = itertools.count()

    def __init__(self, bench, text, data, swaps):
        self.bench, self.text, self.data, self.swaps = bench, text, data, swaps
        self.name = f"job{next(Run.numbers)}"
        self.pause_s = bench.options.swap_every / 1000
        self.done, self.swapped, self.times = threading.Event(), 0, []

    def write(self, version):
        path = self.bench.work / f"{self.name}-{version}.yaml"
        path.write_text(self.text.format(name=self.name, version=version))
        return path

    def swapping(self):
        """Until the run ends; what is refused before it has begun, or behind its end, does not count."""
        for version in itertools.count(2):
            if self.done.wait(self.pause_s):
                return
            began = time.monotonic_ns()
            try:
                status, said = deploy(str(self.data / "control.sock"), self.write(version))
            except OSError:
                continue
            if status == 200:
                self.swapped += 1
                self.times.append((began, time.monotonic_ns()))
            elif self.swapped > 0 and "ending" not in said and "ended" not in said:
                sys.exit(f"bench: version {version} is refused: {said}")

    def go(self, take):
        """take(process): reads what it prints until it ends. Returns CPU and wall seconds."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [self.bench.sluice_bin, "run", str(self.write(1)), "--once", "--quiet", "--workers", "1", "--data-dir", str(self.data)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        swapper = threading.Thread(target=self.swapping)
        if self.swaps:
            swapper.start()
        take(process)
        said = process.stderr.read().decode(errors="replace")
        process.wait()
        self.done.set()
        if self.swaps:
            swapper.join()
        wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode != 0:
            sys.exit(f"bench: {' '.join(command)} ended with {process.returncode}:\n{said[-2000:]}")
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall_s


def fill(bench, name):
    data = bench.work / name
    feed = bench.work / "feed.yaml"
    feed.write_text(FEED)
    with open(bench.input, "rb") as lines:
        subprocess.run([bench.sluice_bin, "run", str(feed), "--once", "--quiet", "--data-dir", str(data)], stdin=lines, check=True)
    return data


def drain(process):
    while os.read(process.stdout.fileno(), 1 << 16):
        pass


def stamp(times):
    def take(process):
        fcntl.fcntl(process.stdout.fileno(), F_SETPIPE_SZ, 1 << 20)
        while os.read(process.stdout.fileno(), 1 << 20):
            times.append(time.monotonic_ns())
    return take


def p99(gaps):
    ordered = sorted(gaps)
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1e6


def touched(times, spans):
    """The gaps between two batches that one of the spans overlaps."""
    found, spans = [], iter(spans)
    span = next(spans, None)
    for a, b in zip(times[1:], times[2:]): # the start is no gap
        while span is not None and span[1] < a:
            span = next(spans, None)
        if span is not None and span[0] <= b:
            found.append(b - a)
    return found


def gap(bench):
    """p99 of the gaps between two batches at a sink that a swap, from the request to its answer, overlaps; and of those of a run without
    swaps that the same spans of time overlap, for a long gap is overlapped more often than a short one."""
    data = fill(bench, "swap-gap")
    gaps = {True: [], False: []}
    spans, longest, swaps = [], 0, 0

    def once(swapping):
        nonlocal spans, longest, swaps
        times, run = [], Run(bench, GAP, data, swapping)
        began = time.monotonic_ns()
        run.go(stamp(times))
        if swapping:
            spans, swaps = [(a - began, b - began) for a, b in run.times], swaps + run.swapped
        found = touched([at - began for at in times], spans)
        if not found:
            sys.exit("bench: no swap happened while batches came; use more --records, or a smaller --swap-every")
        return found

    once(True) # warm
    swaps = 0
    for pair in range(bench.options.pairs):
        for swapping in (True, False) if pair % 2 == 0 else (False, True):
            gaps[swapping].append(once(swapping))
    differences = sorted(p99(a) - p99(b) for a, b in zip(gaps[True], gaps[False]))
    every = {swapping: sum(gaps[swapping], []) for swapping in gaps}
    print(f"swap gap: p99 of {len(every[True])} gaps {p99(every[True]):.2f} ms during {swaps} swaps, of {len(every[False])} without "
          f"{p99(every[False]):.2f} ms; {p99(every[True]) - p99(every[False]):.2f} ms more (pairs {differences[0]:.2f} to {differences[-1]:.2f}), longest "
          f"{max(every[True]) / 1e6:.1f} and {max(every[False]) / 1e6:.1f} ms, load {os.getloadavg()[0]:.1f}; bar: 5 ms more", flush=True)


def throughput(bench):
    """CPU seconds of the same work with swaps and without, and by the wall beside it."""
    data = fill(bench, "swap-throughput")
    walls, swaps = {True: [], False: []}, []

    def once(swapping):
        def run_once():
            run = Run(bench, JOB, data, swapping)
            run.pause_s *= 10 # a version each half second by default; its files and rows are some ten fsyncs, on a thread that is not the slot's
            cpu_s, wall_s = run.go(drain)
            walls[swapping].append(wall_s)
            if swapping:
                swaps.append(run.swapped)
            return cpu_s
        return run_once

    bench.compare("swaps, against none", once(True), once(False), "<= 1.03")
    ratio = sorted(b / a for a, b in zip(walls[True][1:], walls[False][1:]))
    print(f"swaps: {sum(swaps)} in {len(swaps)} runs, {sum(swaps) / sum(walls[True]):.1f} a second; throughput by the wall "
          f"{ratio[len(ratio) // 2]:.3f} of that without ({ratio[0]:.3f} to {ratio[-1]:.3f}), bar >= 0.97", flush=True)
