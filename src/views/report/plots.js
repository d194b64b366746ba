// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The plots of one view: one connection, or several one over the other, from their beginnings.

const HEIGHT = 190;
const Y_AXIS = 78;
/** The same for all, so that times stand below each other. */
const PADDING = [8, 22, 0, 0];
/** With two connections the colour tells them apart, and the dash what is shown. */
const TRACE_COLOURS = ["blue", "orange", "green", "purple"];

/**
 * A line: `of` names a series of the data; `rate` makes bits per second of a counter; `main` is
 * shown when connections lie over each other too.
 */
const PLOTS = [
  {
    name: "throughput", title: "Throughput", note: "mean over stretches of the visible range",
    write: write.rate, unit: "bit/s", rates: true, marks: true,
    lines: [
      { of: "sent", label: "sent, repeats included", colour: "orange" },
      { of: "acked", label: "goodput: acknowledged", colour: "blue", main: true },
      { of: "received", label: "received in order", colour: "green", main: true, dash: [6, 3] },
    ],
  },
  {
    name: "window", title: "Congestion window", note: "CurCwnd, CurSsthresh, PipeSize",
    write: write.octets, unit: "B", marks: true,
    lines: [
      { of: "cwnd", label: "cwnd", colour: "blue", main: true },
      { of: "ssthresh", label: "ssthresh", colour: "green", dash: [6, 4], main: true },
      { of: "flight", label: "in flight", colour: "orange" },
    ],
  },
  {
    name: "rtt", title: "Round-trip time", note: "every sample; SmoothedRTT, MinRTT",
    write: (ms) => write.ms(isKnown(ms) ? ms * 1e3 : null), unit: "ms", scale: 1e-3, marks: true,
    lines: [
      { of: "rtt", label: "sample", colour: "sky", points: true, main: true },
      { of: "srtt", label: "smoothed", colour: "blue", main: true },
      { of: "rtt", label: "minimum", colour: "green", dash: [6, 4], least: true },
      { of: "bbr_min_rtt", label: "BBR's minimum", colour: "purple", dash: [2, 3], gaps: true },
    ],
  },
  {
    name: "pace", title: "Pacing and delivery rate", note: "points: snapshots of the socket",
    write: write.rate, unit: "bit/s", scale: 8, marks: true,
    lines: [
      { of: "pacing", label: "pacing rate", colour: "blue", main: true, gaps: true },
      { of: "max_pacing", label: "its bound (SO_MAX_PACING_RATE)", colour: "purple", dash: [6, 4], gaps: true },
      { of: "delivery", label: "delivery rate", colour: "orange", main: true, gaps: true },
      { of: "bbr_bw", label: "BBR's bandwidth", colour: "green", dash: [6, 3], gaps: true },
      // What the window lets through, where no snapshot has the pace.
      { of: "cwnd", label: "window per RTT (CurCwnd / SmoothedRTT)", colour: "sky", dash: [2, 3], perRtt: true, main: true },
    ],
  },
  {
    name: "receiver", title: "Receive window and unsent data", note: "CurRwinRcvd, CurRwinSent, CurAppWQueue",
    write: write.octets, unit: "B",
    lines: [
      { of: "rwnd", label: "peer's window", colour: "blue", main: true },
      { of: "rwnd_sent", label: "own window", colour: "green", dash: [6, 4] },
      { of: "queue", label: "written, not sent yet", colour: "orange" },
    ],
  },
  {
    name: "sequence", title: "Time and sequence", note: "SndUna, SndNxt and the right edge of the peer's window, from the first octet",
    write: write.octets, unit: "B", floating: true, marks: true,
    lines: [
      { of: "edge", label: "window's edge", colour: "green", dash: [6, 4], hidden: true },
      { of: "nxt", label: "sent (SndNxt)", colour: "orange" },
      { of: "una", label: "acknowledged (SndUna)", colour: "blue", main: true },
      { of: "received", label: "received in order", colour: "purple", main: true, dash: [6, 3] },
    ],
  },
];

/** Whether snapshots follow each other closely enough for a line between them. */
const isPolled = (data) => data.polls >= 4;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Of a counter: its last value at or before each time. */
function counterAt({ line, data }, name) {
  data.filled ??= {};
  if (!data.filled[name]) {
    let last = null;
    data.filled[name] = data.series[name].map((value) => (last = value ?? last));
  }
  const filled = data.filled[name];
  // What a connection carried before the recording is not carried in it.
  const first = line.begun_before ? (filled.find((value) => value !== null) ?? 0) : 0;
  return (time) => {
    let [low, high] = [0, data.t.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.t[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return (low === 0 ? null : filled[low - 1]) ?? first;
  };
}

/** Rates over stretches of the visible range, none finer than the data. */
function rates(traces, lines, from, to) {
  const finest = Math.max(...traces.map((trace) => trace.data.stretch_us)) / 1e6;
  const n = Math.max(8, Math.min(150, Math.floor((to - from) / (2 * finest))));
  const width = (to - from) / n;
  const times = Array.from({ length: n + 1 }, (_, i) => from + i * width);
  const columns = lines.map(({ trace, of }) => {
    const at = counterAt(trace, of);
    const end = trace.data.t.at(-1);
    const rate = (time) => (time > end ? null : ((at(time + width) - at(time)) * 8) / width);
    return times.map((time, i) => (i < n ? rate(time) : null));
  });
  return { data: [times, ...columns], width };
}

function valuesOf(line, data, scale) {
  const values = data.series[line.of];
  if (line.perRtt) {
    let srtt = null;
    return values.map((v, i) => {
      srtt = data.series.srtt[i] ?? srtt;
      return v === null || !(srtt > 0) ? null : (v * 1e6 * scale) / srtt;
    });
  }
  if (line.least) {
    let least = null;
    return values.map((v) => (least = v === null ? least : least === null ? v * scale : Math.min(least, v * scale)));
  }
  return scale === 1 ? values : values.map((v) => (v === null ? null : v * scale));
}

/** Makes all plots; answers with what the page needs to drive them. */
function makePlots(place, distribution, traces, onRange) {
  const over = traces.length > 1;
  const end = Math.max(...traces.map((trace) => trace.data.t.at(-1) ?? 0));
  const whole = { from: 0, to: end > 0 ? end : 1e-3 };
  let range = { ...whole };
  let busy = true;
  const made = [];
  const width = () => Math.max(320, place.clientWidth);

  const cursor = {
    sync: { key: "time", scales: ["x", null] },
    drag: { x: true, y: false },
    bind: { dblclick: () => () => { zoom(whole.from, whole.to); return null; } },
    points: { size: 6 },
  };
  const axis = (extra) => ({
    stroke: () => colour("faint"), grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { stroke: () => colour("grid"), width: 1 }, font: "12px system-ui, sans-serif", ...extra,
  });
  const seconds = axis({ size: 32, values: (_, all) => all.map((v) => `${+v.toFixed(6)} s`) });
  const hooks = {
    setScale: [(u, key) => {
      if (key !== "x" || busy) return;
      zoom(u.scales.x.min, u.scales.x.max);
    }],
  };

  function zoom(from, to) {
    const least = Math.max(2e-6, (whole.to - whole.from) / 1e5);
    const length = Math.min(Math.max(to - from, least), whole.to - whole.from);
    from = Math.min(Math.max(from, whole.from), whole.to - length);
    range = { from, to: from + length };
    busy = true;
    for (const plot of made) {
      if (plot.reload) plot.reload();
      plot.u.setScale("x", { min: range.from, max: range.to });
      // uPlot sets scales in a microtask: its hooks run while `busy` still holds.
    }
    queueMicrotask(() => queueMicrotask(() => (busy = false)));
    onRange(range, whole);
  }

  const kit = { place, width, cursor, axis, hooks, made, whole, range: () => range };

  function drawn(plot) {
    const lines = traces.flatMap((trace, index) => plot.lines
      .filter((line) => trace.data.series[line.of] && (!over || line.main))
      .filter((line) => !line.perRtt || (trace.data.series.srtt && !(trace.data.series.pacing && isPolled(trace.data))))
      // Of one that never received, a line of nothing says nothing.
      .filter((line) => !["received", "sent", "acked"].includes(line.of) || trace.data.series[line.of].some((v) => v > 1))
      .map((line) => ({ ...line, trace, index })));
    if (lines.length === 0) return;
    const heading = element("h3", {}, `${plot.title} `, element("small", {}, plot.note));
    const box = element("div", { class: "plot", "data-plot": plot.name });
    place.append(heading, box);
    const series = lines.map((line) => ({
      label: over ? `${line.label}, ${line.trace.label}` : line.label,
      stroke: () => colour(over ? TRACE_COLOURS[line.index] : line.colour),
      width: line.points ? 1 : 1.5, dash: line.dash, show: !line.hidden, spanGaps: Boolean(line.gaps),
      paths: line.points || (line.gaps && !isPolled(line.trace.data)) ? () => null : uPlot.paths.stepped({ align: 1 }),
      points: line.points || line.gaps
        ? { show: true, size: line.points ? 3 : 4, width: 0, fill: () => colour(over ? TRACE_COLOURS[line.index] : line.colour) } : { show: false },
      value: (_, v) => plot.write(v),
    }));
    let data;
    if (plot.rates) {
      data = rates(traces, lines, range.from, range.to).data;
    } else {
      const tables = traces.map((trace) =>
        [trace.data.t, ...lines.filter((line) => line.trace === trace).map((line) => valuesOf(line, trace.data, plot.scale ?? 1))]);
      data = over ? uPlot.join(tables.filter((table) => table.length > 1)) : tables[0];
    }
    const shown = new Set(SEQUENCE_MARKS.map((mark) => mark.name));
    const overlay = plot.marks ? overlays(traces, plot.floating, shown, (name, n) => (box.dataset[name] = n)) : {};
    if (plot.floating && !over) heading.after(sequenceSwitches(traces[0].data, shown, () => u.redraw()));
    const u = new uPlot({
      width: width(), height: HEIGHT, padding: PADDING, cursor, series: [{ label: "time", value: (_, v) => write.seconds(v) }, ...series],
      scales: {
        x: { time: false },
        y: { range: (_, min, max) => (max === null ? [0, 1] : plot.floating ? uPlot.rangeNum(min, max, 0.05, true) : [0, max * 1.06 || 1]) },
      },
      axes: [seconds, axis({ size: Y_AXIS, values: (_, all) => all.map((v) => (plot.unit === "ms" ? `${v} ms` : prefixed(v, plot.unit))) })],
      hooks: { ...hooks, ...overlay },
    }, data, box);
    for (const label of box.querySelectorAll(".u-legend .u-series:not(:first-child) th")) {
      label.tabIndex = 0;
      label.addEventListener("keydown", (event) => {
        if (event.key === "Enter") label.click();
        event.stopPropagation();
      });
    }
    const small = heading.querySelector("small");
    const reload = plot.rates && (() => {
      const { data: fresh, width: stretch } = rates(traces, lines, range.from, range.to);
      u.setData(fresh, false);
      small.textContent = `mean over ${stretch < 1 ? write.ms(stretch * 1e6) : write.seconds(stretch)}, which follows the zoom`;
    });
    made.push({ u, reload });
  }

  place.replaceChildren();
  traces.forEach((trace) => limitsStrip(kit, trace, over));
  traces.forEach((trace) => bbrStrip(kit, trace, over));
  PLOTS.forEach(drawn);
  makeDistribution(distribution, traces, axis, width);
  zoom(whole.from, whole.to);

  return {
    zoom,
    move: (share) => zoom(range.from + share * (range.to - range.from), range.to + share * (range.to - range.from)),
    magnify(factor) {
      const half = ((range.to - range.from) * factor) / 2;
      const middle = (range.from + range.to) / 2;
      zoom(middle - half, middle + half);
    },
    all: () => zoom(whole.from, whole.to),
    resize: () => made.forEach(({ u }) => u.setSize({ width: width(), height: u.height })),
    range: () => range,
    destroy: () => made.forEach(({ u }) => u.destroy()),
  };
}

/** How often RTT samples of each length came. */
function makeDistribution(place, traces, axis, width) {
  place.replaceChildren();
  const sampled = traces.filter(({ data }) => data.rtt.samples > 0);
  if (sampled.length === 0) return;
  const tables = sampled.map(({ data }) => {
    // Classes are powers of the same base, so those of two connections fall together.
    const first = Math.round(Math.log(data.rtt.from_us) / Math.log(data.rtt.ratio));
    const bounds = [...data.rtt.counts, 0].map((_, i) => data.rtt.ratio ** (first + i) / 1e3);
    return [bounds, [...data.rtt.counts, 0].map((n) => (100 * n) / data.rtt.samples)];
  });
  const said = sampled.map(({ data, label }) => {
    const quantiles = data.rtt.quantiles.map(([percent, us]) => `${percent} % up to ${write.ms(us)}`).join(", ");
    return `${traces.length > 1 ? `${label}: ` : ""}${write.count(data.rtt.samples)} samples, ${quantiles}`;
  });
  const box = element("div", { class: "plot", "data-plot": "distribution" });
  place.append(element("h3", {}, "Distribution of the round-trip time ", element("small", {}, said.join("; "))), box);
  const bounds = tables.flatMap(([x]) => x);
  const wide = Math.max(...bounds) / Math.min(...bounds) > 20;
  new uPlot({
    width: width(), height: HEIGHT, padding: PADDING,
    scales: { x: { time: false, distr: wide ? 3 : 1 }, y: { range: (_, __, max) => [0, max * 1.06 || 1] } },
    axes: [axis({ size: 32, values: (_, all) => all.map((v) => (v === null ? "" : `${v} ms`)) }), axis({ size: Y_AXIS, values: (_, all) => all.map((v) => `${v} %`) })],
    series: [{ label: "RTT from", value: (_, v) => (isKnown(v) ? `${v.toPrecision(4)} ms` : "–") }, ...sampled.map(({ label }, i) => ({
      label: traces.length > 1 ? label : "share of samples", width: 1.5,
      stroke: () => colour(TRACE_COLOURS[i]), fill: () => `${colour(TRACE_COLOURS[i])}30`,
      paths: uPlot.paths.stepped({ align: 1 }), points: { show: false },
      value: (_, v) => (isKnown(v) ? `${v.toFixed(2)} %` : "–"),
    }))],
  }, tables.length > 1 ? uPlot.join(tables) : tables[0], box);
}
