// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Coloured bands over time: what limited the sender, and the state of BBR.

const STRIP = 46;

/** Shares by name over [from, to) seconds; of stretches that are cut, all. */
function sharesWithin(data, names, from, to) {
  const stretch = data.stretch_us / 1e6;
  const last = names.length > 0 ? data.limits[names[0]].length : 0;
  const a = Math.max(0, Math.floor(from / stretch + 1e-6));
  const b = Math.min(last, Math.max(a + 1, Math.ceil(to / stretch - 1e-6)));
  return names.map((name) => {
    let sum = 0;
    for (let i = a; i < b; i++) sum += data.limits[name][i];
    return { name, share: b > a ? sum / (1000 * (b - a)) : 0 };
  });
}

/** A band's plot. `paint(u)` draws it; `reload()` renews what stands above it when the range changes. */
function makeStrip(kit, name, heading, keys, paint, reload) {
  const box = element("div", { class: "plot", "data-plot": name });
  kit.place.append(heading, keys, box);
  const u = new uPlot({
    width: kit.width(), height: STRIP, padding: [3, PADDING[1], 3, 0], cursor: { ...kit.cursor, y: false }, legend: { show: false },
    scales: { x: { time: false }, y: { range: [0, 1] } },
    axes: [kit.axis({ show: false }), kit.axis({ size: Y_AXIS, values: () => [], ticks: { show: false }, grid: { show: false } })],
    series: [{}, { show: false }], hooks: { ...kit.hooks, draw: [paint] },
  }, [[kit.whole.from, kit.whole.to], [0, 0]], box);
  kit.made.push({ u, reload });
}

const key = (colour_, text) => element("span", {}, element("i", { style: `background:${colour_}` }), text);

/** What limited the sender, at each moment. */
function limitsStrip(kit, trace, over) {
  const { data, line } = trace;
  const names = page.limits.filter((name) => data.limits[name]);
  const heading = element("h3", {}, over ? `What limited the sender: ${trace.label}` : "What limited the sender");
  const keys = element("div", { class: "keys", "data-keys": "limits" });
  if (names.length === 0) {
    kit.place.append(heading, keys, element("div", { class: "plot", "data-plot": "limits" }));
    keys.append("not known: the recording has neither Limstate nor the gauges that decide it");
    return;
  }
  if (!line.limited_by) heading.append(" ", element("small", {}, "of the time that is known; the rest is missing, so there are no shares of the whole life"));
  const colours = Object.fromEntries(names.map((name) => [name, colour(`l-${name}`)]));
  const paint = (u) => {
    const { left, top, width, height } = u.bbox;
    const range = kit.range();
    const per = (range.to - range.from) / width;
    for (let px = 0; px < width; px++) {
      const from = range.from + px * per;
      if (from > (line.duration_s ?? Infinity)) break;
      let y = top + height;
      for (const { name, share } of sharesWithin(data, names, from, from + per)) {
        u.ctx.fillStyle = colours[name];
        u.ctx.fillRect(left + px, y - share * height, 1, share * height);
        y -= share * height;
      }
    }
  };
  makeStrip(kit, "limits", heading, keys, paint, () => {
    const known = sharesWithin(data, names, kit.range().from, kit.range().to);
    const total = known.reduce((sum, { share }) => sum + share, 0) || 1;
    keys.replaceChildren(...known.map(({ name, share }) => key(colours[name], `${name} ${write.share(share / total)}`)));
  });
}

/** Words and colours of BBR's states. */
const BBR = {
  startup: ["startup", "orange"],
  drain: ["drain", "purple"],
  up: ["probe bandwidth: up", "red"],
  down: ["probe bandwidth: down", "sky"],
  cruise: ["probe bandwidth: cruise", "green"],
  probe_rtt: ["probe RTT", "blue"],
};

/** The state by its gains, 256 being 1 (tcp_bbr.c: bbr_high_gain 739, bbr_drain_gain 88, bbr_pacing_gain[]). */
function bbrState(pacing, cwnd) {
  // Another congestion control has followed.
  if (pacing === 0) return null;
  if (pacing >= 512) return "startup";
  if (pacing <= 128) return "drain";
  if (pacing > 256) return "up";
  if (pacing < 256) return "down";
  return cwnd <= 256 ? "probe_rtt" : "cruise";
}

/** [from, to, state] of BBR: by snapshots, or where there are none by a window of four segments, which is that of probing the RTT. */
function bbrStates(data) {
  const { bbr_pacing_gain: pacing, bbr_cwnd_gain: gain, cwnd, mss } = data.series;
  const states = [];
  const push = (time, state) => {
    const last = states.at(-1);
    if (last && last[2] === state) return;
    if (last) last[1] = time;
    states.push([time, time, state]);
  };
  if (pacing && gain) data.t.forEach((time, i) => pacing[i] !== null && gain[i] !== null && push(time, bbrState(pacing[i], gain[i])));
  else if (cwnd && mss) {
    let segment = null;
    data.t.forEach((time, i) => {
      segment = mss[i] ?? segment;
      if (cwnd[i] !== null && segment !== null) push(time, cwnd[i] <= 4 * segment ? "probe_rtt" : null);
    });
  }
  if (states.length > 0) states.at(-1)[1] = data.t.at(-1);
  return states;
}

function bbrStrip(kit, trace, over) {
  const { data, line } = trace;
  const polled = Boolean(data.series.bbr_pacing_gain);
  if (!polled && line.congestion_control !== "bbr") return;
  const states = bbrStates(data);
  if (!states.some(([, , state]) => state)) return;
  const note = polled ? `by the gains of ${write.count(data.polls)} snapshots` : "without snapshots only the probing of the RTT shows: a window of at most four segments";
  const heading = element("h3", {}, over ? `State of BBR: ${trace.label} ` : "State of BBR ", element("small", {}, note));
  const keys = element("div", { class: "keys", "data-keys": "bbr" });
  const paint = (u) => {
    const { left, top, width, height } = u.bbox;
    for (const [from, to, state] of states) {
      if (!state) continue;
      const a = Math.max(left, u.valToPos(from, "x", true));
      const b = Math.min(left + width, u.valToPos(to, "x", true));
      u.ctx.fillStyle = colour(BBR[state][1]);
      if (b >= a) u.ctx.fillRect(a, top, Math.max(1, b - a), height);
    }
  };
  makeStrip(kit, "bbr", heading, keys, paint, () => {
    const { from, to } = kit.range();
    const shares = {};
    for (const [a, b, state] of states) if (state) shares[state] = (shares[state] ?? 0) + Math.max(0, Math.min(b, to) - Math.max(a, from));
    keys.replaceChildren(...Object.keys(BBR).filter((state) => state in shares)
      .map((state) => key(colour(BBR[state][1]), `${BBR[state][0]} ${write.share(shares[state] / (to - from))}`)));
  });
}
