#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs the test of the Spark job on a Spark of its own, with the estats-analyze given.
set -eu
cd "$(dirname "$0")/.."
if [ "${ESTATS_SPARK:-1}" = 0 ]; then
	echo "spark: left out, since ESTATS_SPARK=0" >&2
	exit 0
fi
java=$(command -v java || true)
[ -n "$java" ] || { echo "spark: no java: apt-get install default-jre-headless" >&2; exit 2; }
venv=$(sh scripts/venv.sh spark spark/requirements.txt)
# Debian's alternatives link to the directory that Spark wants to know.
JAVA_HOME=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$java")")")}
# Spark starts the Python it finds in PATH; loopback is enough for a test, and needs no name resolved.
venv=$(cd "$venv" && pwd)
PATH=$venv/bin:$PATH
SPARK_LOCAL_IP=127.0.0.1
export JAVA_HOME PATH SPARK_LOCAL_IP
exec "$venv/bin/python" spark/test_replay_job.py "$1"
