// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"use strict";
// The page's data, and how values are written. See src/views/report/page.rs for what is embedded.

const page = JSON.parse(document.getElementById("data").textContent);

/** The connections of all runs as objects, most worth a look first; there from load() on. */
let connections = [];
const byNumber = new Map();

/** Unpacks the tables of connections. */
async function load() {
  const tables = await Promise.all(page.runs.map((_, run) => unpackJson(document.getElementById(`lines-${run}`))));
  tables.forEach((columns, run) => {
    const names = Object.keys(columns);
    const lists = Object.values(columns);
    const n = names.length > 0 ? lists[0].length : 0;
    const lines = new Array(n);
    for (let i = 0; i < n; i++) {
      const line = { run, goodput: null };
      for (let c = 0; c < names.length; c++) line[names[c]] = lists[c][i];
      // Octets count since the connection began, the duration since it was first seen.
      if (line.duration_s > 0 && line.octets_acked !== null && !line.begun_before) line.goodput = (line.octets_acked * 8) / line.duration_s;
      lines[line.rank] = line;
      byNumber.set(`${run}-${line.conn_id}`, line);
    }
    connections = run === 0 ? lines : connections.concat(lines);
  });
}

const connectionOf = (run, id) => byNumber.get(`${run}-${id}`);
const shareOf = (line, limit) => line[`limited_${limit}`];
/** Whether it sent more than a first window, as the report's order has it. */
const isSender = (line) => (line.octets_acked ?? line.octets_sent ?? 0) > 14600;

/** Undoes differences; null stays. */
function sums(steps) {
  let value = 0;
  return steps.map((step) => (step === null ? null : (value += step)));
}

const unpacked = new Map();

/** The data of a connection's plots, unpacked once. */
function plotData(run, id) {
  const key = `${run}-${id}`;
  if (!unpacked.has(key)) unpacked.set(key, unpack(document.getElementById(`plots-${key}`)));
  return unpacked.get(key);
}

async function unpackJson(element) {
  const octets = Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([octets]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

async function unpack(element) {
  const data = await unpackJson(element);
  data.t = sums(data.t).map((us) => us / 1e6);
  for (const name in data.series) data.series[name] = sums(data.series[name]);
  for (const name in data.limits) data.limits[name] = sums(data.limits[name]);
  for (const name of ["retransmissions", "timeouts", "marks", "duplicates", "sacks", "sack_blocks", "sent_again"])
    data[name] = data[name].map(([us, ...rest]) => [us / 1e6, ...rest]);
  data.recoveries = data.recoveries.map(([from, to, n]) => [from / 1e6, to / 1e6, n]);
  return data;
}

// How values are written: three significant digits, decimal prefixes, – for what is not known.

const counted = new Intl.NumberFormat("en");
const isKnown = (value) => value !== null && value !== undefined && !Number.isNaN(value);

function prefixed(value, unit) {
  if (!isKnown(value)) return "–";
  const size = Math.abs(value);
  const [factor, prefix] =
    size >= 1e12 ? [1e12, "T"] : size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e3 ? [1e3, "k"] : [1, ""];
  const scaled = value / factor;
  const digits = Number.isInteger(scaled) || Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${prefix}${unit}`;
}

const write = {
  text: (value) => (isKnown(value) ? String(value) : "–"),
  count: (value) => (isKnown(value) ? counted.format(value) : "–"),
  octets: (value) => prefixed(value, "B"),
  rate: (value) => prefixed(value, "bit/s"),
  seconds: (value) => (isKnown(value) ? `${value.toFixed(3)} s` : "–"),
  ms(us) {
    if (!isKnown(us)) return "–";
    return us > 0 && us < 1000 ? `${+us.toPrecision(3)} µs` : `${(us / 1e3).toFixed(us < 1e5 ? 2 : 1)} ms`;
  },
  share(value) {
    if (!isKnown(value)) return "–";
    const percent = value * 100;
    const size = Math.abs(percent);
    return percent > 0 && percent < 0.01 ? "<0.01 %" : `${percent.toFixed(size === 0 || size >= 10 ? 0 : size < 1 ? 2 : 1)} %`;
  },
  times: (value) => (isKnown(value) ? `${value.toFixed(2)} ×` : "–"),
};

/** An element with attributes and children; text stays text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
