# SPDX-License-Identifier: Apache-2.0
"""What the style checks share: the list of source files, C text without comments and strings, the room
table, and one way to report. A check prints `path:line: sentence` for each breach and ends with status 1;
soft findings are notes and change nothing."""

import argparse
import fnmatch
import os
import re
import subprocess
import sys
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

SKIPPED_FOLDER = re.compile(r"(^|/)(\.git|build(-[^/]*)?|__pycache__)(/|$)")
TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


class Report:
    """Collects breaches and notes of one check."""

    def __init__(self, name, verbose):
        self.name = name
        self.verbose = verbose
        self.errors = []
        self.notes = []

    def error(self, path, line, text):
        self.errors.append(f"{path}:{line}: {text}" if line else f"{path}: {text}")

    def note(self, text):
        self.notes.append(text)

    def finish(self, checked, what):
        """Prints the outcome and ends the program."""
        for text in self.notes if self.verbose else []:
            print(f"{self.name}: note: {text}")
        for text in self.errors:
            print(f"{self.name}: {text}")
        if checked == 0:
            print(f"{self.name}: found no {what} to check; is the root right?")
            sys.exit(1)
        if self.errors:
            print(f"{self.name}: {len(self.errors)} breaches in {checked} {what}")
            sys.exit(1)
        print(f"{self.name}: {checked} {what}, {len(self.notes)} notes")
        sys.exit(0)


def arguments(description, **extra):
    """Parses the options that every check takes; `extra` adds name=help options with a value."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", default=ROOT, help="source tree to check")
    parser.add_argument("-v", "--verbose", action="store_true", help="print notes too")
    for name, text in extra.items():
        parser.add_argument("--" + name, help=text)
    return parser.parse_args()


def files(root, *patterns):
    """Source files below root (tracked, or new and not ignored) whose name or path matches a pattern."""
    git = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=False)
    if git.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        names = [name for name in git.stdout.decode().split("\0") if name]
    else:
        names = [os.path.relpath(os.path.join(folder, name), root)
                 for folder, folders, found in os.walk(root) for name in found
                 if not SKIPPED_FOLDER.search(os.path.relpath(folder, root))]
    chosen = [name for name in names
              if any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(os.path.basename(name), p)
                     for p in patterns)]
    return sorted(name for name in set(chosen) if os.path.isfile(os.path.join(root, name)))


def read(root, path):
    """The file as text; bytes that are no UTF-8 survive."""
    with open(os.path.join(root, path), encoding="utf-8", errors="surrogateescape") as stream:
        return stream.read()


def blank(text, keep_strings=False):
    """C text with comments (and strings) turned to blanks; line numbers stay."""
    def hollow(match):
        token = match.group(0)
        if keep_strings and token[0] in "\"'":
            return token
        inner = re.sub(r"[^\n]", " ", token)
        return inner if token[0] == "/" else token[0] + inner[1:-1] + token[0]
    return TOKEN.sub(hollow, text)


def is_shell(root, path):
    """Does the file begin with a shell's shebang?"""
    return re.match(r"#!\s*/\S*(/env\s+)?\S*\b(ba)?sh\b", read_head(root, path)) is not None


def is_python(root, path):
    return path.endswith(".py") or re.match(r"#!.*python", read_head(root, path)) is not None


def read_head(root, path):
    """First line, as text."""
    with open(os.path.join(root, path), "rb") as stream:
        return stream.readline(200).decode("utf-8", "replace")


class Rooms:
    """The room table."""

    def __init__(self, path=None):
        with open(path or os.path.join(HERE, "rooms.toml"), "rb") as stream:
            data = tomllib.load(stream)
        self.rooms = data["room"]
        self.libraries = data["library"]
        self.system = data["system"]["headers"]
        self.main_files = data["main"]["files"]
        self.mutable = data["mutable"]

    def of(self, path):
        """Name of the room that holds the file: the longest room path that is its prefix, or None."""
        best = None
        for name in self.rooms:
            if path.startswith(name + "/") and (best is None or len(name) > len(best)):
                best = name
        return best

    def library_of(self, header):
        for name, library in self.libraries.items():
            if any(fnmatch.fnmatch(header, p) for p in library["headers"]):
                return name
        return None

    def is_system(self, header):
        return any(fnmatch.fnmatch(header, p) for p in self.system)

    def is_main(self, path):
        return any(fnmatch.fnmatch(path, p) for p in self.main_files)

    def mutable_reason(self, room, file, symbol):
        """Why this symbol of a source file may change, or None."""
        for entry in self.mutable:
            if (fnmatch.fnmatch(room, entry["room"]) and fnmatch.fnmatch(file, entry["file"])
                    and fnmatch.fnmatch(symbol, entry["symbol"])):
                return entry["reason"]
        return None
