#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs what the README and the manual show: every Python block, and every command line of estats-analyze.

usage: readme.py ESTATS-ANALYZE

They run in the order of their document, in a directory of its own that holds bundled recordings under the
names used there; a command may use what one before it made. Left out: what needs root (sudo), builds or
installs (make, cargo), or a cluster (spark-submit, which has a test of its own); lines with a word in capitals
in place of a name (RUN, FILE), which show a form; and what other programs make of the output (| jq).
"""

import gzip
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: Names of recordings in the documents -> bundled ones; names with a number are RUN otherwise.
RECORDINGS = {"run5": "snapshots", "cubic": "loss", "bbr": "reordering", "reno": "function-hooks"}
#: Repeats of these.
REPEATS = r"(?:cubic|bbr)[123]"
RUN = "loss"
#: Those that are recorded with packets in the documents: of a capture here.
WITH_PACKETS = ("run6", "run10")
#: Consecutive parts of one recording.
PARTS = {"monday": ("--to", "1500ms"), "tuesday": ("--from", "1500ms")}
#: Pages whose snippets another test runs: spark/test_replay_job.py.
ELSEWHERE = ("scale.md",)
#: A Web10G kernel's account, with a capture of the same connections.
REFERENCE = ROOT / "testdata/reference/b_loss"


def fail(message):
    sys.exit(f"readme: {message}")


def snippets(text):
    """(line number, kind, code) of what can be run, in the document's order."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        first = i
        if lines[i].startswith("```"):
            end = lines.index("```", i + 1)
            if lines[i] == "```python":
                yield first + 1, "python", "\n".join(lines[i + 1 : end]) + "\n"
            i = end
        elif lines[i].startswith("    estats-analyze "):
            command = lines[i].strip()
            while not whole(command):
                i += 1
                command = command.removesuffix("\\").rstrip() + " " + lines[i].strip()
            if not is_form(command):
                yield first + 1, "shell", re.sub(r" \| jq .*", "", command)
        i += 1


def is_form(command):
    """Whether a word stands in place of a name, as RUN, FILE or A1 do, or of more words."""
    words = shlex.split(command, comments=True)
    return any(re.fullmatch(r"(\w+=)?[A-Z]+\d*([|,.].*)?", word.strip("[]")) for word in words)


def whole(command):
    """Whether a command line ends here: no backslash or pipe at its end, no quote left open."""
    if command.endswith(("\\", "|")):
        return False
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


class Directory:
    """Where the snippets run: makes what they name."""

    def __init__(self, path, analyze):
        self.path = path
        self.analyze = analyze
        # The name by which the README calls it comes first in PATH.
        (path / "bin").mkdir()
        (path / "bin/estats-analyze").symlink_to(analyze)
        self.environment = {**os.environ, "PATH": f"{path}/bin:{os.environ['PATH']}"}

    def call(self, *arguments):
        done = subprocess.run([self.analyze, *arguments], cwd=self.path, capture_output=True, text=True)
        if done.returncode not in (0, 3):
            fail(f"{' '.join(arguments)}: status {done.returncode}: {done.stderr}")

    def capture(self, name):
        """The server's side of a transfer with loss, as tcpdump wrote it."""
        packets = subprocess.run(
            ["zstd", "-dc", REFERENCE / "B.pcap.zst"], check=True, stdout=subprocess.PIPE
        ).stdout
        (self.path / name).write_bytes(gzip.compress(packets))

    def recording(self, name):
        if name in WITH_PACKETS:
            self.call("import-pcap", str(REFERENCE / "B.pcap.zst"), "-o", name)
            return
        if name in PARTS:
            self.call("cut", str(ROOT / "testdata" / RUN / "run"), "-o", name, *PARTS[name])
            return
        scenario = RECORDINGS.get(name, RECORDINGS.get(name.rstrip("123"), RUN))
        shutil.copytree(ROOT / "testdata" / scenario / "run", self.path / name)
        self.call("replay", name)

    def reference(self, name):
        """What the Web10G kernel said, and, for this snippet, a recording of the same connections."""
        shutil.copy(REFERENCE / "estats.json", self.path / name)
        shutil.rmtree(self.path / "run1")
        self.call("import-pcap", str(REFERENCE / "A.pcap.zst"), "-o", "run1")

    def prepare(self, code):
        """Makes the inputs of a snippet that are not there yet."""
        made = set(re.findall(r"(?:-o|--output|--parquet) (\S+)", code))
        for name in re.findall(r"[\w.-]+\.pcapng\.gz", code):
            if not (self.path / name).exists():
                self.capture(name)
        for name in re.findall(r"--key (\S+)", code):
            (self.path / name).write_bytes(os.urandom(32))
        names = "|".join((REPEATS, *RECORDINGS, *PARTS))
        for name in dict.fromkeys(re.findall(rf"\b(?:run\d+|{names})\b(?!\.)", code)):
            if name not in made and not (self.path / name).exists():
                self.recording(name)
        for name in re.findall(r"--reference (\S+)", code):
            self.reference(name)

    def run(self, kind, code):
        """Runs a snippet; gives what it printed."""
        self.prepare(code)
        if kind == "python":
            argv, shell = [sys.executable, "-c", code], False
        else:
            # [--option] stands for what may be added.
            argv, shell = re.sub(r" \[[^]]*\]", "", code), True
        done = subprocess.run(
            argv, shell=shell, cwd=self.path, env=self.environment, capture_output=True, text=True
        )
        if "--reference" in code:
            shutil.rmtree(self.path / "run1")
        return done


def main():
    analyze = os.path.abspath(sys.argv[1])
    pages = sorted((ROOT / "docs").glob("*.md"))
    documents = [ROOT / "README.md", *(page for page in pages if page.name not in ELSEWHERE)]
    kinds, failed = [], 0
    for document in documents:
        found = list(snippets(document.read_text(encoding="utf-8")))
        kinds += [kind for _, kind, _ in found]
        # A README whose form this script does not recognise would pass without a test.
        if document.name == "README.md" and len(found) < 4:
            fail(f"found only {len(found)} snippets in the README: has it another form?")
        failed += run_all(document.relative_to(ROOT), found, analyze)
    if kinds.count("python") < 4 or kinds.count("shell") < 40:
        fail(f"found only {len(kinds)} snippets: have the documents another form?")
    if failed:
        fail(f"{failed} of {len(kinds)} snippets failed")
    print(f"readme: {kinds.count('python')} Python blocks and {kinds.count('shell')} commands run")


def run_all(document, found, analyze):
    """Runs the snippets of a document in a directory of their own; gives how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="estats-readme-") as name:
        directory = Directory(pathlib.Path(name), analyze)
        for line, kind, code in found:
            done = directory.run(kind, code)
            if done.returncode != 0:
                failed += 1
                print(f"{document}:{line}: status {done.returncode}: {code}\n{done.stderr}")
            elif not done.stdout and not re.search(r"(-o|--html|--parquet|>) ", code):
                failed += 1
                print(f"{document}:{line}: prints nothing: {code}")
    return failed


if __name__ == "__main__":
    main()
