"""Sums up what llvm-cov exported: how many branches of the pure code tests take, and which not.

Fails if they are fewer than nine of ten, or if uncovered.md is not exactly the list of the others.
"""

import collections
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/coverage/uncovered.md"
CRATES = ("broker-proto", "supervisor", "zeek-client-compat", "mgmt")
LEAST = 90.0

# How uncovered.md names one: `path`: `condition` is never true
ENTRY = re.compile(r"^- `(?P<path>[^`]+)`: `` (?P<code>.+) `` is never (?P<side>true|false)$")


def is_pure(path):
    parts = path.split("/")
    is_test = "tests" in parts or "tests.rs" in parts
    is_rest = "io" in parts or "io.rs" in parts or "/src/bin/" in path
    return parts[0] in CRATES and "src" in parts and not is_test and not is_rest


def code_lines(path):
    """The lines of a file before the tests in it."""
    lines = (ROOT / path).read_text().splitlines()
    for number, line in enumerate(lines):
        if line == "#[cfg(test)]":
            following = lines[number + 1]
            if following.startswith("mod ") and following.endswith("{"):
                return lines[:number]
    return lines


def text_of(lines, place):
    first, begin, last, end = place
    part = lines[first - 1 : last]
    if not part:
        return ""
    part[-1] = part[-1][: end - 1]
    part[0] = part[0][begin - 1 :]
    return " ".join(" ".join(part).split())


def branches(export):
    """For each pure file, how often each condition was true and false, in all its instances."""
    files = collections.defaultdict(dict)
    for file in json.loads(pathlib.Path(export).read_text())["data"][0]["files"]:
        path = pathlib.Path(file["filename"])
        if not path.is_relative_to(ROOT) or not is_pure(str(path.relative_to(ROOT))):
            continue
        path = str(path.relative_to(ROOT))
        lines = code_lines(path)
        for branch in file["branches"]:
            place = tuple(branch[:4])
            if place[2] <= len(lines):
                true, false, _ = files[path].get(place, (0, 0, ""))
                counts = (true + branch[4], false + branch[5])
                files[path][place] = (*counts, text_of(lines, place))
    return files


def main():
    files = branches(sys.argv[1])
    print(f"{'crate':20} {'branches':>8} {'taken':>8}")
    everything = collections.Counter()
    missing = collections.Counter()
    for crate in CRATES:
        count = taken = 0
        for path, places in files.items():
            if path.split("/")[0] != crate:
                continue
            for true, false, code in places.values():
                for side, times in (("true", true), ("false", false)):
                    count += 1
                    taken += times > 0
                    if times == 0:
                        missing[path, code, side] += 1
        everything.update(count=count, taken=taken)
        print(f"{crate:20} {count:8} {100 * taken / count:7.1f}%")
    percent = 100 * everything["taken"] / everything["count"]
    print(f"{'all':20} {everything['count']:8} {percent:7.1f}%")

    listed = collections.Counter()
    for line in LIST.read_text().splitlines():
        entry = ENTRY.match(line)
        if entry:
            listed[entry["path"], entry["code"], entry["side"]] += 1
        elif line.startswith("- "):
            sys.exit(f"{LIST.name}: cannot read: {line}")
    unexplained = missing - listed
    if "--list" in sys.argv:
        for path, code, side in sorted(unexplained.elements()):
            print(f"- `{path}`: `` {code} `` is never {side}")
    problems = [f"{sum(unexplained.values())} are not in {LIST.name}"] if unexplained else []
    for path, code, side in sorted((listed - missing).elements()):
        problems.append(f"{LIST.name}: taken by now, or gone: {path}: {code} ({side})")
    if percent < LEAST:
        problems.append(f"fewer than {LEAST} % are taken")
    if problems:
        sys.exit("\n".join(problems))


main()
