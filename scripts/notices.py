# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The packages that are linked into the programs of `make release`.

notices.py text   their names, versions, licences, and the words of these licences
notices.py sbom   the same as a CycloneDX document (JSON), with what needs what

Both are made from Cargo.lock by `cargo metadata`. The same tree gives the same bytes.
"""

import glob
import hashlib
import json
import os
import platform
import subprocess
import sys
import tomllib

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Names of files with licences; also AUTHORS and COPYRIGHT, which some of them refer to.
WORDS = ("LICEN", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def metadata():
    """The packages by id, the ids that each links, and the id of our own."""
    target = f"{platform.machine()}-unknown-linux-gnu"
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked"]
    command += ["--no-default-features", "--features", "record", "--filter-platform", target]
    found = json.loads(subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in found["packages"]}
    edges = {}
    for node in found["resolve"]["nodes"]:
        # Not what builds and tests need: it is in no program.
        edges[node["id"]] = sorted(
            dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])
        )
    return packages, edges, found["resolve"]["root"]


def linked(packages, edges, root):
    """Ids of what is in the programs. Procedural macros only run while they are built."""

    def is_macro(package):
        return any("proc-macro" in target["kind"] for target in package["targets"])

    seen, left = set(), [root]
    while left:
        package = left.pop()
        if package not in seen and not is_macro(packages[package]):
            seen.add(package)
            left += edges[package]
    return sorted(seen - {root}, key=lambda id: (packages[id]["name"], packages[id]["version"]))


def licence(package):
    """In SPDX's form, which had a slash for OR once."""
    return (package["license"] or "see its files").replace("/", " OR ").replace("  ", " ")


def files(package):
    """Words of licences in a package."""
    top = glob.escape(os.path.dirname(package["manifest_path"]))
    # C sources that a package brings are in a directory of their own.
    inner = glob.glob(f"{top}/*/*") if package["name"].endswith("-sys") else []
    for path in sorted(glob.glob(f"{top}/*") + inner):
        if os.path.isfile(path) and os.path.basename(path).upper().startswith(WORDS):
            with open(path, encoding="utf-8", errors="replace") as file:
                yield "\n".join(line.rstrip() for line in file.read().strip().splitlines())


def text():
    packages, edges, root = metadata()
    ids = linked(packages, edges, root)
    print("Packages that are linked into estats-record and estats-analyze, and their licences.")
    print("The words of each licence follow, once, with the packages that have them.\n")
    words = {}
    for id in ids:
        package = packages[id]
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {licence(package)}")
        for content in files(package):
            words.setdefault(content, []).append(name)
    # What is not a package of cargo: it stands in the report's pages.
    for path in sorted(glob.glob(f"{glob.escape(TOP)}/third_party/*/LICENSE")):
        name = os.path.basename(os.path.dirname(path))
        print(f"{name} (third_party/{name})")
        with open(path, encoding="utf-8") as file:
            words.setdefault(file.read().strip(), []).append(name)
    for content, names in words.items():
        print(f"\n{'-' * 80}\n{', '.join(sorted(set(names)))}\n\n{content}")


def sbom():
    packages, edges, root = metadata()
    ids = linked(packages, edges, root)
    with open(os.path.join(TOP, "Cargo.lock"), "rb") as file:
        lock = tomllib.load(file)["package"]
    sums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock}

    def purl(id):
        return f"pkg:cargo/{packages[id]['name']}@{packages[id]['version'].replace('+', '%2B')}"

    def component(id):
        package = packages[id]
        checksum = sums.get((package["name"], package["version"]))
        return {
            "type": "application" if id == root else "library",
            "bom-ref": purl(id),
            "name": package["name"],
            "version": package["version"],
            **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
            "licenses": [{"expression": licence(package)}],
            "purl": purl(id),
        }

    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root)},
        "components": [component(id) for id in ids],
        "dependencies": [
            {"ref": purl(id), "dependsOn": sorted(purl(dep) for dep in edges[id] if dep in ids)}
            for id in [root, *ids]
        ],
    }
    # A number of its own that the same contents have, too.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    number = f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"
    document["serialNumber"] = f"urn:uuid:{number}"
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    {"text": text, "sbom": sbom}[sys.argv[1]]()
