// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Puts the page together: facts, table, and the connection that is looked at.

const byId = (id) => document.getElementById(id);
const WHY = {
  startup: "the handshake",
  application: "the application, which had written nothing more",
  send_buffer: "its send buffer, which was too small for what was under way",
  nagle: "Nagle's algorithm, which held back less than a segment",
  app_rate: "the pace that the application had set itself (SO_MAX_PACING_RATE)",
  cc_rate: "the pace of its congestion control",
  network: "the network, as its congestion window knew it",
  receiver: "the receiver's window",
  receiver_app: "the receiver's application, which did not read",
  host: "its own host, where data waited (device queue, small queues)",
  path_dead: "a path that carried nothing",
};
let current = null;
/** Of the table: what it shows now. */
let found = [];
let flows = null;

function sharesBar(line) {
  const known = page.limits.filter((name) => shareOf(line, name) > 0);
  const title = known.map((name) => `${name} ${write.share(shareOf(line, name))}`).join(", ");
  return element("div", { class: "shares", role: "img", title, "aria-label": title },
    ...known.map((name) => element("i", { style: `width:${shareOf(line, name) * 100}%;background:var(--l-${name})` })));
}

const views = new Map();
page.views.forEach((view, index) => view.traces.forEach(([run, id]) => views.has(`${run}-${id}`) || views.set(`${run}-${id}`, index)));
const viewOf = (line) => views.get(`${line.run}-${line.conn_id}`) ?? -1;
const withPage = new Set(page.pages ? page.pages.ids : []);

function columns() {
  const column = (name, label, title, value, more = {}) => ({ name, label, title, value, ...more });
  const number = (name, label, title, value, written) => column(name, label, title, value, { number: true, write: written });
  const link = (line) => {
    const view = viewOf(line);
    const id = String(line.conn_id);
    if (view >= 0) return element("button", { type: "button", class: "id", "aria-label": `Show connection ${id}`, onclick: () => open(view) }, id);
    if (withPage.has(line.conn_id)) return element("a", { href: `${page.pages.link}connection-${id}.html`, title: "its own page" }, id);
    return element("span", { title: `no plots here: estats-analyze report RUN --conn ${id}` }, id);
  };
  const all = [
    number("id", "ID", "Number of the connection", (l) => l.conn_id, write.text),
    column("local", "Local", "Local address and port", (l) => l.local),
    column("remote", "Remote", "Remote address and port", (l) => l.remote),
    column("opened", "Opened", "Who opened it", (l) => l.opened_by),
    column("owner", "Owner", "Command name and process id", (l) => l.owner),
    column("cc", "CC", "Congestion control", (l) => l.congestion_control),
    number("begin", "Begin", "Since the recording began", (l) => l.begin_s, write.seconds),
    number("duration", "Duration", "From beginning to end", (l) => l.duration_s, write.seconds),
    number("acked", "Acked", "Octets acknowledged by the peer", (l) => l.octets_acked, write.octets),
    number("received", "Received", "Octets received", (l) => l.octets_received, write.octets),
    number("goodput", "Goodput", "Octets acknowledged over its whole life", (l) => l.goodput, write.rate),
    number("again", "Retransmitted", "Octets retransmitted, of those sent", (l) => l.retransmitted_share, write.share),
    number("recoveries", "Recov.", "Stays in recovery", (l) => l.recoveries, write.count),
    number("minrtt", "Min RTT", "Smallest RTT sample", (l) => l.min_rtt_us, write.ms),
    number("inflation", "RTT ×", "Mean RTT over the smallest", (l) => l.rtt_inflation, write.times),
    column("limit", "Limited by", "What limited the sender for the largest share of its life", (l) => (l.octets_sent > 0 ? l.limited_by : null)),
    column("shares", "Shares", "Shares of its life by limit", () => null, { node: (l) => (l.octets_sent > 0 ? sharesBar(l) : "–") }),
    column("end", "End", "How it ended, and who closed it", (l) => (l.close_reason ? `${l.close_reason} (${l.closed_by})` : null)),
    column("complete", "Seen", "How much of it was seen", (l) => l.completeness),
  ];
  all[0].node = link;
  for (const column of all) column.screen = ["opened", "begin", "recoveries", "inflation", "shares", "end"].includes(column.name);
  if (page.runs.length > 1) all.unshift(column("run", "Run", "Recording", (l) => page.runs[l.run].label));
  return all;
}

function showFacts() {
  const places = page.runs.map((run) => {
    const facts = Object.fromEntries(run.facts);
    const first = ["host", "kernel", "capture", "command", "begun", "duration", "connections", "records lost", "audit", "hook set"];
    const list = (names) => element("dl", {}, ...names.flatMap(([name, value]) =>
      [element("dt", {}, name), element("dd", { class: name === "records lost" && run.lost > 0 ? "alarm" : null }, value)]));
    const rest = run.facts.filter(([name]) => !first.includes(name));
    const details = element("details", {}, element("summary", {}, "Hooks, sysctls and queueing disciplines"), list(rest));
    return [page.runs.length > 1 ? element("h3", {}, run.label) : null, list(first.filter((name) => facts[name]).map((name) => [name, facts[name]])), details];
  });
  byId("facts").replaceChildren(...places.flat().filter(Boolean));
  const lost = page.runs.reduce((sum, run) => sum + run.lost, 0);
  const line = page.runs.map((run) => {
    const facts = Object.fromEntries(run.facts);
    const words = [facts.command && facts.command !== "none" ? facts.command : null, facts.host?.split(",")[0], facts.kernel?.split(" ")[0], facts.begun, facts.duration];
    return (page.runs.length > 1 ? `${run.label}: ` : "") + words.filter(Boolean).join(" · ");
  });
  byId("runs").replaceChildren(...line.map((text) => element("div", { class: "note" }, text)),
    ...(lost > 0 ? [element("div", { class: "alarm" }, `${lost} records were lost while recording: figures of connections marked lossy are lower bounds`)] : []));
}

function tile(value, label) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", {}, label));
}

/** The sentence that a newcomer reads first. */
function verdict(line, data) {
  const parts = [];
  if (!(line.octets_sent > 0)) {
    parts.push("It sent no data: what limited the transfer is known at its other end.");
  } else if (line.limited_by) {
    const basis = line.limits_basis?.startsWith("exact") ? "" : " (an estimate)";
    parts.push(`For ${write.share(shareOf(line, line.limited_by))} of its life it was limited by ${WHY[line.limited_by]}${basis}.`);
  }
  if (line.octets_sent > 0 && line.busy_share != null && line.rwnd_limited_share != null && line.sndbuf_limited_share != null) {
    const differs = line.limits_differ ? `; the two differ by more than a tenth in ${line.limits_differ}` : "";
    parts.push(`The kernel's own account: busy ${write.share(line.busy_share)}, receiver's window ${write.share(line.rwnd_limited_share)}, send buffer ${write.share(line.sndbuf_limited_share)}${differs}.`);
  }
  const again = data.retransmissions;
  if (again.length > 0) {
    const n = again.reduce((sum, event) => sum + event[1], 0);
    const times = again.length === 1 ? `at ${write.seconds(again[0][0])}` : `from ${write.seconds(again[0][0])} to ${write.seconds(again.at(-1)[0])}`;
    parts.push(`${write.count(n)} ${n === 1 ? "segment was" : "segments were"} retransmitted, ${times}, in ${line.recoveries ?? "–"} ${line.recoveries === 1 ? "stay" : "stays"} in recovery.`);
  } else if (line.octets_sent > 0) {
    parts.push("Nothing was retransmitted.");
  }
  return parts.join(" ");
}

function explain(traces) {
  const blocks = traces.map(({ line, data, label }) => element("div", {},
    traces.length > 1 ? element("h3", {}, page.runs[line.run].label) : null,
    element("p", { class: "verdict" }, verdict(line, data)),
    element("div", { class: "tiles" },
      tile(write.rate(line.goodput), "goodput over its life"),
      tile(write.seconds(line.duration_s), "duration"),
      tile(write.octets(line.octets_acked), "acknowledged"),
      tile(write.octets(line.octets_received), "received"),
      tile(write.share(line.retransmitted_share), "retransmitted"),
      tile(write.ms(line.min_rtt_us), "smallest RTT"),
      tile(write.times(line.rtt_inflation), "mean RTT over it"),
      tile(write.text(line.congestion_control), "congestion control"),
      tile(write.text(line.completeness).replace("_", " "), "completeness"))));
  const marks = traces.length > 1 ? element("div", { class: "keys" }, "Ticks below the lines: segments retransmitted, of each run in its colour.") : element("div", { class: "keys" },
    element("span", {}, element("i", { style: "background:var(--recovery);outline:1px solid var(--line)" }), "in recovery"),
    element("span", {}, element("i", { style: "background:var(--red)" }), `retransmitted (${write.count(traces[0].line.segs_retrans)})`),
    element("span", {}, element("i", { style: "background:var(--purple)" }), `timeout (${traces[0].data.timeouts.reduce((n, e) => n + e[1], 0)})`),
    element("span", {}, element("i", { style: "background:var(--sky)" }), `congestion mark echoed (${traces[0].data.marks.reduce((n, e) => n + e[1], 0)})`));
  byId("why").replaceChildren(...blocks, marks);
}

async function open(index, quietly = false) {
  const view = page.views[index];
  if (!view) return;
  const traces = await Promise.all(view.traces.map(async ([run, id]) => ({
    // Of "A path" the letter: a legend has no room for more.
    label: page.runs[run].label.split(" ")[0], line: connectionOf(run, id), data: await plotData(run, id),
  })));
  byId("detail").hidden = false;
  byId("detail-title").textContent = view.label;
  explain(traces);
  const show = () => {
    const range = current && current.index === index ? current.plots.range() : null;
    if (current) current.plots.destroy();
    const plots = makePlots(byId("plots"), byId("distribution"), traces, (visible) => {
      byId("range").textContent = `${write.seconds(visible.from)} to ${write.seconds(visible.to)}`;
    });
    current = { index, plots, show };
    if (range) plots.zoom(range.from, range.to);
  };
  show();
  byId("reduction").textContent = traces.map(({ data, label }) =>
    `${traces.length > 1 ? `${label}: ` : ""}made of ${write.count(data.records)} records; of each ${write.ms(data.stretch_us)} a line keeps its smallest and largest value, in their order.`).join(" ");
  for (const row of document.querySelectorAll("#connections tr[data-view]"))
    row.classList.toggle("open", row.dataset.view === String(index));
  if (quietly) return;
  history.replaceState(null, "", `#${view.traces.map(([run, id]) => `${run}-${id}`).join("+")}`);
  byId("detail-title").focus({ preventScroll: true });
  byId("detail").scrollIntoView({ block: "start" });
}

const actions = {
  in: (plots) => plots.magnify(0.5),
  out: (plots) => plots.magnify(2),
  left: (plots) => plots.move(-0.25),
  right: (plots) => plots.move(0.25),
  all: (plots) => plots.all(),
};
const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all", Home: "all" };

for (const button of document.querySelectorAll("[data-zoom]"))
  button.addEventListener("click", () => current && actions[button.dataset.zoom](current.plots));
byId("plots").addEventListener("keydown", (event) => {
  const action = KEYS[event.key];
  if (!current || !action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  actions[action](current.plots);
});
addEventListener("resize", () => {
  if (current) current.plots.resize();
  if (flows) flows.resize();
});
for (const query of ["(prefers-color-scheme: dark)", "print"])
  matchMedia(query).addEventListener("change", () => {
    if (current) current.show();
    if (flows) flows.show();
  });

function showDifference() {
  const difference = page.difference;
  if (!difference) return;
  byId("difference").hidden = false;
  byId("difference-note").textContent = difference.note;
  makeTable(byId("difference-table"), difference.columns.map((column, i) => ({
    ...column, value: (row) => row[i],
    write: column.share ? (v) => (v > 0 ? "+" : "") + write.share(v) : column.number ? (v) => (isKnown(v) ? (+v.toPrecision(6)).toLocaleString("en", { maximumSignificantDigits: 6 }) : "–") : write.text,
  })), difference.rows, { label: "Differences", rows: 15 });
}

/** The names that a condition may use. */
function showKeys() {
  const list = element("dl", {}, ...page.keys.filter((key) => key.name !== "connections").flatMap((key) =>
    [element("dt", {}, key.name), element("dd", {}, key.meaning + (key.unit ? ` (${SUFFIXES[key.unit][0]})` : ""))]));
  byId("keys").replaceChildren(element("summary", {}, "What a condition can ask for"),
    element("p", { class: "note" }, "Comparisons with <, <=, =, !=, >=, >, and ~ for texts that contain something; and, or, not, parentheses; is null. As summary --where."), list);
}

/** The table, and what stands over all connections. */
function showConnections() {
  showKeys();
  flows = makeFlows(byId("flows"), () => found);
  makeTable(byId("connections"), columns(), connections, {
    label: "Connections",
    conditions: true,
    rowAttributes: (line) => ({ "data-view": viewOf(line), class: current && viewOf(line) === current.index ? "open" : null }),
    onFound(lines) {
      found = lines;
      flows.show();
    },
  });
}

async function start() {
  showFacts();
  await load();
  showDifference();
  if (page.all) {
    for (const id of ["connections", "flows"]) byId(id).closest("section").hidden = true;
    byId("runs").append(element("a", { href: page.all }, "All connections of this recording"));
  } else {
    showConnections();
  }
  const wanted = location.hash.slice(1);
  const first = page.views.findIndex((view) => view.traces.map(([run, id]) => `${run}-${id}`).join("+") === wanted);
  await open(Math.max(0, first), first < 0);
  document.documentElement.dataset.ready = "yes";
}

start();
