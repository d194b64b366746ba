// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Events in the plots: retransmissions, timeouts, marks, recoveries; on the time-sequence plot also SACK and
// duplicate ACKs, as xplot and tcptrace draw them. Many events become one mark where they would lie over each
// other, and marks become paler the more there are: the lines stay visible. Counts are those of all events.

/** So many marks are drawn at full strength. */
const STRONG = 150;
const alphaOf = (marks) => Math.max(0.2, Math.min(1, STRONG / Math.max(1, marks)));

const sumOf = (events) => events.reduce((sum, event) => sum + event[1], 0);

/** Marks of the time-sequence plot: what they are, their colour, and where they come from. */
const SEQUENCE_MARKS = [
  { name: "again", label: "retransmitted", colour: "red", events: (data) => data.retransmissions, blocks: (data) => data.sent_again },
  { name: "sack", label: "SACK", colour: "purple", events: (data) => data.sacks, blocks: (data) => data.sack_blocks },
  { name: "duplicate", label: "duplicate ACK", colour: "green", events: (data) => data.duplicates, blocks: () => [] },
];

function clipped(u, draw) {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  draw(u.ctx, u.bbox);
  u.ctx.restore();
}

/** Short lines at the bottom of a plot, at most one in each column of pixels. */
function drawTicks(u, events, name, place) {
  const scale = devicePixelRatio || 1;
  clipped(u, (ctx, { left, top, width, height }) => {
    const columns = new Set();
    for (const [time] of events) {
      const x = Math.round(u.valToPos(time, "x", true));
      if (x >= left && x <= left + width) columns.add(x - (x % Math.max(1, Math.round(scale))));
    }
    ctx.fillStyle = colour(name);
    ctx.globalAlpha = alphaOf((columns.size * 1000 * scale) / width / 2);
    for (const x of columns) ctx.fillRect(x - scale / 2, top + height - place * scale, 1.5 * scale, 8 * scale);
  });
}

/** Marks of the time-sequence plot, one in each cell of a few pixels; answers how many were drawn. */
function drawSequenceMarks(u, data, mark) {
  const scale = devicePixelRatio || 1;
  const cell = 3 * scale;
  const blocks = mark.blocks(data);
  const cells = new Map();
  const put = (time, from, to) => {
    const x = u.valToPos(time, "x", true);
    const [low, high] = [u.valToPos(from, "y", true), u.valToPos(to, "y", true)];
    const { left, top, width, height } = u.bbox;
    if (x < left || x > left + width || low < top || high > top + height) return;
    const place = `${Math.round(x / cell)} ${Math.round(low / cell)}`;
    const before = cells.get(place);
    cells.set(place, before ? [x, Math.max(before[1], low), Math.min(before[2], high)] : [x, low, high]);
  };
  // Packets have the octets; of what only was counted, the place is what was acknowledged at that moment.
  if (blocks.length > 0) blocks.forEach(([time, from, to]) => put(time, from, to));
  else mark.events(data).forEach(([time, , octet]) => isKnown(octet) && put(time, octet, octet));
  clipped(u, (ctx) => {
    ctx.fillStyle = colour(mark.colour);
    ctx.globalAlpha = alphaOf(cells.size);
    const many = cells.size > 2 * STRONG;
    for (const [x, low, high] of cells.values()) {
      if (low - high > 2 * scale) {
        ctx.fillRect(x - (many ? 0.5 : 0.75) * scale, high, (many ? 1 : 1.5) * scale, low - high);
      } else if (mark.name === "duplicate") {
        // tcptrace's tick on the line of acknowledgments.
        ctx.fillRect(x - 0.75 * scale, low - 7 * scale, 1.5 * scale, 7 * scale);
      } else if (mark.name === "sack") {
        ctx.fillRect(x - 0.75 * scale, low - 15 * scale, 1.5 * scale, 6 * scale);
        ctx.fillRect(x - 2.5 * scale, low - 15 * scale, 5 * scale, 1.5 * scale);
      } else {
        ctx.beginPath();
        ctx.arc(x, low, (many ? 1.5 : 3) * scale, 0, 7);
        ctx.fill();
      }
    }
  });
  return cells.size;
}

/** The hooks of a plot that draw its events. `shown` has the names of the sequence's marks that are switched on. */
function overlays(traces, sequence, shown, drawn) {
  const over = traces.length > 1;
  const recoveries = (u) => clipped(u, (ctx, { top, height }) => {
    if (over) return;
    ctx.fillStyle = colour("recovery");
    for (const [from, to] of traces[0].data.recoveries) {
      const x = u.valToPos(from, "x", true);
      ctx.fillRect(x, top, Math.max(1, u.valToPos(to, "x", true) - x), height);
    }
  });
  // Below the lines, over the grid.
  const below = (u) => {
    if (over || !sequence) return;
    for (const mark of SEQUENCE_MARKS) if (shown.has(mark.name)) drawn(mark.name, drawSequenceMarks(u, traces[0].data, mark));
  };
  const above = (u) => {
    if (over) traces.forEach(({ data }, index) => drawTicks(u, data.retransmissions, TRACE_COLOURS[index], 8 + index * 9));
    else if (!sequence) {
      drawTicks(u, traces[0].data.retransmissions, "red", 8);
      drawTicks(u, traces[0].data.timeouts, "purple", 18);
      drawTicks(u, traces[0].data.marks, "sky", 28);
    }
  };
  return { drawClear: [recoveries], drawAxes: [below], draw: [above] };
}

/** The switches of the time-sequence plot's marks, with the numbers of all events. */
function sequenceSwitches(data, shown, redraw) {
  const marks = SEQUENCE_MARKS.filter((mark) => mark.events(data).length > 0 || mark.blocks(data).length > 0);
  return element("div", { class: "keys", "data-keys": "sequence" }, ...marks.map((mark) => {
    const box = element("input", { type: "checkbox", checked: shown.has(mark.name), onchange: () => {
      if (box.checked) shown.add(mark.name);
      else shown.delete(mark.name);
      redraw();
    } });
    const source = mark.blocks(data).length > 0 ? ", from packets" : ", at what was acknowledged then";
    return element("label", {}, box, element("i", { style: `background:${colour(mark.colour)}` }),
      `${mark.label} (${write.count(sumOf(mark.events(data)))})`, element("small", {}, mark.events(data).length > 0 || mark.blocks(data).length > 0 ? source : ""));
  }));
}
