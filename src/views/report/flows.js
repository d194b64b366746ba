// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Many connections in one plot: throughput one upon the other or as lines, Jain's fairness index, and how
// figures are distributed over all connections. Made when somebody opens it.

/** So many steps of time. */
const FLOW_STEPS = 240;
/** Colours of connections, and of all others together. */
const FLOW_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8f7f00", "#6a51a3", "#74a9a0", "#a6761d"];
const flowColour = (i) => FLOW_COLOURS[i % FLOW_COLOURS.length];
/** An index from here on counts as fair. */
const FAIR = 0.95;

/** Jain's index of shares: 1 if all are equal, 1/n if one has everything; null for less than two. */
function jain(rates) {
  if (rates.length < 2) return null;
  const sum = rates.reduce((a, b) => a + b, 0);
  const squares = rates.reduce((a, b) => a + b * b, 0);
  return squares > 0 ? (sum * sum) / (rates.length * squares) : null;
}

/** The rates of connections in steps of the recording's time, and of all others together. */
function flowRates(traces, totals, direction, from, to) {
  const width = (to - from) / FLOW_STEPS;
  const times = Array.from({ length: FLOW_STEPS + 1 }, (_, i) => from + i * width);
  const flows = traces.filter(({ data }) => data.series[direction] && data.series[direction].some((v) => v > 1));
  const rates = flows.map(({ data, line }) => {
    const at = counterAt({ line, data }, direction);
    const end = line.begin_s + line.duration_s;
    // Not alive is not known: it is no flow with a rate of 0.
    return times.map((time, i) => {
      if (i === FLOW_STEPS || time + width <= line.begin_s || time >= end) return null;
      return Math.max(0, ((at(time + width - line.begin_s) - at(time - line.begin_s)) * 8) / width);
    });
  });
  const step = totals.step_ns / 1e9;
  const sums = [0];
  for (const octets of totals[direction]) sums.push(sums.at(-1) + octets);
  const allAt = (time) => {
    const place = Math.min(Math.max(time / step, 0), sums.length - 1);
    const low = Math.floor(place);
    return sums[low] + ((sums[Math.min(low + 1, sums.length - 1)] - sums[low]) * (place - low));
  };
  const known = times.map((_, i) => rates.reduce((sum, rate) => sum + (rate[i] ?? 0), 0));
  const others = times.map((time, i) => (i === FLOW_STEPS ? null : Math.max(0, ((allAt(time + width) - allAt(time)) * 8) / width - known[i])));
  // Steps of the total and of the connections are not cut at the same times: small differences are no flow.
  const sum = (values) => values.reduce((a, b) => a + (b ?? 0), 0);
  const hasOthers = sum(others) > 0.05 * (sum(known) + sum(others)) && connections.length > traces.length;
  return { times, width, flows, rates, others: hasOthers ? others : null };
}

/** What the index says over time, in words. */
function fairness(times, index) {
  const known = index.map((value, i) => [times[i], value]).filter(([, value]) => value !== null);
  if (known.length === 0) return "never two of them at once: there is no index";
  const mean = known.reduce((sum, [, value]) => sum + value, 0) / known.length;
  let since = null;
  for (const [time, value] of known) since = value < FAIR ? null : since ?? time;
  const converged = since === null ? `not at ${FAIR} or more at the end` : `at ${FAIR} or more from ${write.seconds(since)} to the end`;
  return `mean ${mean.toFixed(3)}, ${converged}`;
}

const flowAxis = (extra) => ({
  stroke: () => colour("faint"), grid: { stroke: () => colour("grid"), width: 1 },
  ticks: { stroke: () => colour("grid"), width: 1 }, font: "12px system-ui, sans-serif", ...extra,
});
const secondsAxis = () => flowAxis({ size: 32, values: (_, all) => all.map((v) => `${+v.toFixed(6)} s`) });

/** The plots of throughput and fairness. */
function flowPlots(place, traces, totals, state) {
  const begin = Math.min(...traces.map(({ line }) => line.begin_s));
  const end = Math.max(...traces.map(({ line }) => line.begin_s + line.duration_s));
  const { times, width, flows, rates, others } = flowRates(traces, totals, state.direction, begin, Math.max(end, begin + 1e-3));
  const wide = Math.max(320, place.clientWidth);
  const heading = (title, note) => element("h3", {}, `${title} `, element("small", {}, note));
  if (flows.length === 0) {
    place.append(element("p", { class: "note" }, "None of the connections with plots carried data in this direction."));
    return [];
  }
  const columns = others ? [...rates, others] : rates;
  const labels = flows.map(({ line }) => `${line.conn_id}: ${state.direction === "acked" ? line.remote : line.local}`);
  const label = (i) => (i < labels.length ? labels[i] : "all others");
  const lineColour = (i) => (i < labels.length ? flowColour(i) : "#8a929b");
  const cursor = { sync: { key: "flows", scales: ["x", null] }, drag: { x: true, y: false } };
  const made = [];
  let [data, bands] = [[times, ...columns], []];
  const stacked = state.way === "stacked";
  if (stacked) {
    // The sum of a connection and of those below it; the topmost first, so that each covers what is above the next.
    const sums = [];
    columns.forEach((column, i) => sums.push(column.map((value, t) => (t === FLOW_STEPS ? null : (value ?? 0) + (i > 0 ? sums[i - 1][t] : 0)))));
    data = [times, ...sums];
    bands = sums.slice(1).map((_, i) => ({ series: [i + 2, i + 1] }));
  }
  const box = element("div", { class: "plot", "data-plot": "flows" });
  place.append(heading(`Throughput of ${flows.length} connections${others ? " and all others" : ""}`, `mean over ${write.ms(width * 1e6)}, ${stacked ? "one upon the other" : "each from 0"}`), box);
  const stepped = uPlot.paths.stepped({ align: 1 });
  const u = new uPlot({
    width: wide, height: 240, padding: PADDING, cursor, bands,
    scales: { x: { time: false }, y: { range: (_, min, max) => [0, max * 1.06 || 1] } },
    axes: [secondsAxis(), flowAxis({ size: Y_AXIS, values: (_, all) => all.map((v) => prefixed(v, "bit/s")) })],
    series: [{ label: "time", value: (_, v) => write.seconds(v) }, ...columns.map((column, i) => ({
      label: label(i), stroke: lineColour(i), width: stacked ? 1 : 1.5, paths: stepped, points: { show: false },
      fill: stacked ? `${lineColour(i)}99` : undefined, dash: i >= FLOW_COLOURS.length && i < labels.length && !stacked ? [5, 3] : undefined,
      value: (_, __, ___, at) => write.rate(at === null || at === undefined ? null : column[at]),
    }))],
  }, data, box);
  made.push(u);
  const senders = flows.map((_, i) => i).filter((i) => state.direction === "received" || isSender(flows[i].line));
  // Of one that begins or ends within a step, the rate is that of a part of it.
  const isOpen = ({ line }, time) => line.begin_s <= time && time + width <= line.begin_s + line.duration_s;
  const index = times.map((time, t) => jain(senders.filter((i) => isOpen(flows[i], time)).map((i) => rates[i][t]).filter((rate) => rate !== null)));
  const note = fairness(times, index);
  if (senders.length > 1) {
    const place_ = element("div", { class: "plot", "data-plot": "fairness" });
    place.append(heading("Jain's fairness index", `of the ${senders.length} ${state.direction === "acked" ? "senders" : "receivers"} among them that are open at each moment: ${note}`), place_);
    made.push(new uPlot({
      width: wide, height: 140, padding: PADDING, cursor,
      scales: { x: { time: false }, y: { range: [0, 1.04] } },
      axes: [secondsAxis(), flowAxis({ size: Y_AXIS })],
      series: [{ label: "time", value: (_, v) => write.seconds(v) }, {
        label: "index", stroke: () => colour("blue"), width: 1.5, paths: stepped, points: { show: false }, value: (_, v) => (isKnown(v) ? v.toFixed(3) : "–"),
      }],
    }, [times, index], place_));
  }
  return made;
}

/** Values in order with the share of connections that have no more, at most so many points. */
function distribution(values, most = 1000) {
  const sorted = Float64Array.from(values).sort();
  const n = Math.min(most, sorted.length);
  const at = (i) => (n === 1 ? 0 : Math.round((i * (sorted.length - 1)) / (n - 1)));
  const [xs, shares] = [[], []];
  for (let i = 0; i < n; i++) {
    const value = sorted[at(i)];
    if (xs.at(-1) === value) continue;
    xs.push(value);
    shares.push((100 * countUpTo(sorted, value)) / sorted.length);
  }
  return [xs, shares];
}
/** How many of the sorted values are not above this one. */
function countUpTo(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const FIGURES = [
  { name: "rtt", title: "Smallest RTT", value: (l) => l.min_rtt_us, write: write.ms, log: true },
  { name: "throughput", title: "Goodput", value: (l) => (isSender(l) ? l.goodput : null), write: write.rate, log: true, note: "of those that sent more than a first window" },
  { name: "retransmitted", title: "Retransmitted share", value: (l) => (isSender(l) ? l.retransmitted_share : null), write: write.share, log: false, note: "of those that sent more than a first window" },
];

/** The distributions over the connections that the table shows, of each run in its colour. */
function figurePlots(place, found) {
  const made = [];
  for (const figure of FIGURES) {
    const runs = page.runs.map((_, run) => found.filter((line) => line.run === run).map(figure.value).filter((v) => isKnown(v) && (!figure.log || v > 0)));
    if (runs.every((values) => values.length < 2)) continue;
    const tables = runs.map((values) => distribution(values));
    const box = element("div", { class: "plot", "data-plot": `cdf-${figure.name}` });
    const count = runs.map((values) => write.count(values.length)).join(" and ");
    place.append(element("h3", {}, `${figure.title} `, element("small", {}, `over ${count} connections${figure.note ? `, ${figure.note}` : ""}`)), box);
    const values = tables.flatMap(([x]) => x);
    const wide = figure.log && Math.max(...values) / Math.min(...values) > 20;
    made.push(new uPlot({
      width: Math.max(320, place.clientWidth), height: HEIGHT, padding: PADDING,
      scales: { x: { time: false, distr: wide ? 3 : 1 }, y: { range: [0, 104] } },
      axes: [flowAxis({ size: 32, values: (_, all) => all.map((v) => (v === null ? "" : figure.write(v))) }), flowAxis({ size: Y_AXIS, values: (_, all) => all.map((v) => `${v} %`) })],
      series: [{ label: figure.title, value: (_, v) => figure.write(v) }, ...tables.map((_, i) => ({
        label: page.runs.length > 1 ? page.runs[i].label.split(" ")[0] : "connections with no more", stroke: () => colour(TRACE_COLOURS[i]),
        width: 1.5, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false }, spanGaps: true, value: (_, v) => (isKnown(v) ? `${v.toFixed(1)} %` : "–"),
      }))],
    }, tables.length > 1 ? uPlot.join(tables) : tables[0], box));
  }
  return made;
}

/** The section of many connections: `found()` has those that the table shows. */
function makeFlows(section, found) {
  const place = element("div");
  const state = { direction: null, way: "stacked", made: [], open: false };
  const button = (name, value, text) => element("button", { type: "button", "data-flows": value, onclick: () => {
    state[name] = value;
    show();
  } }, text);
  const buttons = [button("way", "stacked", "Stacked"), button("way", "lines", "Lines"), button("direction", "acked", "Sent"), button("direction", "received", "Received")];
  const bar = element("div", { class: "bar", role: "toolbar", "aria-label": "Many connections" }, ...buttons);
  async function show() {
    state.made.forEach((u) => u.destroy());
    state.made = [];
    const one = page.runs.length === 1 && page.runs[0].totals;
    bar.hidden = !one;
    const lines = one ? page.views.map((view) => connectionOf(...view.traces[0])) : [];
    const traces = await Promise.all(lines.map(async (line) => ({ line, data: await plotData(0, line.conn_id) })));
    place.replaceChildren();
    if (one && traces.length > 0) {
      const sum = (name) => page.runs[0].totals[name].reduce((a, b) => a + b, 0);
      state.direction ??= sum("acked") >= sum("received") ? "acked" : "received";
      for (const each of buttons) each.setAttribute("aria-pressed", String([state.direction, state.way].includes(each.dataset.flows)));
      state.made.push(...flowPlots(place, traces, page.runs[0].totals, state));
    }
    state.made.push(...figurePlots(place, found()));
    place.dataset.ready = "yes";
  }
  const details = element("details", { ontoggle: () => {
    state.open = details.open;
    if (details.open && state.made.length === 0) show();
  } }, element("summary", {}, "Throughput of all, fairness, distributions over connections"), bar, place);
  section.replaceChildren(details);
  return {
    show: () => state.open && show(),
    resize: () => state.made.forEach((u) => u.setSize({ width: Math.max(320, place.clientWidth), height: u.height })),
  };
}
