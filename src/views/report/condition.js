// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Conditions on connections, as `estats-analyze summary --where` has them: the grammar and the units are those
// of src/views/summary/condition.rs, the names those of keys.rs, which the page has with their units.

const keyByName = new Map(page.keys.map((key) => [key.name, key]));

/** A port and an address out of "address:port". */
const portOf = (end) => (end === null || end.endsWith(":?") ? null : Number(end.slice(end.lastIndexOf(":") + 1)));
const addressOf = (end) => (end === null ? null : end.slice(0, end.lastIndexOf(":")).replace(/^\[|\]$/g, ""));
const inSeconds = (us) => (us === null ? null : us / 1e6);
const perSecond = (line, octets) =>
  (octets === null || !(line.duration_s > 0) || line.begun_before ? null : (octets * 8) / line.duration_s);

/** The value of each key, as src/views/summary/keys.rs takes it; null is not known. */
const VALUES = {
  id: (l) => l.conn_id,
  connections: () => 1,
  bytes: (l) => (l.octets_acked === null && l.octets_received === null ? null : (l.octets_acked ?? 0) + (l.octets_received ?? 0)),
  acked: (l) => l.octets_acked,
  received: (l) => l.octets_received,
  rate: (l) => (l.octets_acked === null || l.octets_received === null ? null : perSecond(l, Math.max(l.octets_acked, l.octets_received))),
  goodput: (l) => perSecond(l, l.octets_acked),
  received_rate: (l) => perSecond(l, l.octets_received),
  throughput: (l) => perSecond(l, l.octets_sent),
  duration: (l) => l.duration_s,
  retrans: (l) => l.segs_retrans,
  retransmitted: (l) => l.retransmitted_share,
  signals: (l) => l.cong_signals,
  recoveries: (l) => l.recoveries,
  rtt: (l) => inSeconds(l.smoothed_rtt_us),
  min_rtt: (l) => inSeconds(l.min_rtt_us),
  inflation: (l) => l.rtt_inflation,
  busy: (l) => l.busy_share,
  local_port: (l) => portOf(l.local),
  remote_port: (l) => portOf(l.remote),
  port(l) {
    const [local, remote] = [portOf(l.local), portOf(l.remote)];
    if (l.opened_by === "local") return remote;
    if (l.opened_by === "remote") return local;
    return local === null || remote === null ? null : Math.min(local, remote);
  },
  pid: (l) => l.pid,
  mptcp: (l) => l.mptcp_id,
  local: (l) => addressOf(l.local),
  remote: (l) => addressOf(l.remote),
  process(l) {
    if (l.owner === null || l.pid === null) return l.owner;
    return l.owner === String(l.pid) ? null : l.owner.slice(0, -String(l.pid).length - 1);
  },
  cgroup: (l) => l.cgroup,
  container: (l) => l.container_id,
  cc: (l) => l.congestion_control,
  limited_by: (l) => l.limited_by,
  opened_by: (l) => l.opened_by,
  closed_by: (l) => l.closed_by,
  end: (l) => l.close_reason,
  completeness: (l) => l.completeness,
};

const OPERATORS = {
  "<=": (order) => order <= 0,
  ">=": (order) => order >= 0,
  "!=": (order) => order !== 0,
  "<>": (order) => order !== 0,
  "==": (order) => order === 0,
  "<": (order) => order < 0,
  ">": (order) => order > 0,
  "=": (order) => order === 0,
  "~": null,
};
const OPERATOR = /^(<=|>=|!=|<>|==|<|>|=|~)/;

const DECIMAL = { "": 0, k: 3, K: 3, M: 6, G: 9, T: 12 };
const BINARY = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
/** A member of a table, not one of what all objects inherit. */
const entryOf = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);
const SUFFIXES = {
  Count: ["k, M, G, or no unit", (s) => entryOf(DECIMAL, s)],
  Bytes: ["B, kB, MB, GB, KiB, MiB, GiB", (s) => entryOf(DECIMAL, s.replace(/B$/, "")), (s) => entryOf(BINARY, s.replace(/B$/, ""))],
  BitRate: ["bit/s, kbit/s, Mbit/s, Gbit/s", (s) => entryOf(DECIMAL, s.replace(/(bit\/s|bps)$/, ""))],
  Seconds: ["us, ms, s, min, h", (s) => entryOf({ us: -6, "µs": -6, ms: -3, s: 0 }, s), (s) => entryOf({ min: 60, h: 3600 }, s)],
  Share: ["%, or no unit for a share of 1", (s) => entryOf({ "%": -2, "": 0 }, s)],
};

/** A number with its unit; undefined if the suffix is not one of its units. A power of ten is read as part of the decimal number. */
function suffixed(unit, digits, suffix) {
  const [, ten, other] = SUFFIXES[unit];
  if (ten(suffix) !== undefined) return Number(`${digits}e${ten(suffix)}`);
  const factor = other && other(suffix);
  return factor === undefined ? undefined : Number(digits) * factor;
}

function quantity(key, text) {
  const [, digits, suffix] = /^([0-9+\-.]*)([^]*)$/.exec(text);
  if (digits === "" || !/^[+-]?(\d+\.?\d*|\.\d+)$/.test(digits)) throw new Error(`\`${key.name}\`: \`${text}\` is not a number`);
  const number = suffixed(key.unit, digits, suffix);
  if (number === undefined) throw new Error(`\`${key.name}\`: \`${text}\` needs one of the units ${SUFFIXES[key.unit][0]}`);
  return number;
}

function wordsOf(text) {
  const words = [];
  let rest = text.trimStart();
  while (rest !== "") {
    const first = rest[0];
    let word;
    if (first === '"' || first === "'") {
      const end = rest.indexOf(first, 1);
      if (end < 0) throw new Error(`the quote ${first} has no end`);
      words.push({ text: rest.slice(1, end), quoted: true });
      rest = rest.slice(end + 1).trimStart();
      continue;
    }
    if (first === "(" || first === ")") word = first;
    else word = (OPERATOR.exec(rest) ?? /^[^\s()<>=!~"']+/.exec(rest) ?? [""])[0];
    if (word === "") throw new Error(`\`${first}\` is not expected there`);
    words.push({ text: word, quoted: false });
    rest = rest.slice(word.length).trimStart();
  }
  return words;
}

/** One that is `decides` decides; else one that is not known (null) leaves the whole unknown. */
const together = (nodes, decides) => (line) => {
  let known = true;
  for (const node of nodes) {
    const holds = node(line);
    if (holds === decides) return decides;
    if (holds === null) known = false;
  }
  return known ? !decides : null;
};

const MAX_DEPTH = 100;

/** A function of a line that is true, false, or null where that is not known. Throws what is wrong. */
function parseCondition(text) {
  const words = wordsOf(text);
  let [at, depth] = [0, 0];
  const take = (wanted) => {
    const found = at < words.length && !words[at].quoted && words[at].text.toLowerCase() === wanted;
    if (found) at++;
    return found;
  };
  const any = () => {
    const nodes = [all()];
    while (take("or")) nodes.push(all());
    return together(nodes, true);
  };
  const all = () => {
    const nodes = [one()];
    while (take("and")) nodes.push(one());
    return together(nodes, false);
  };
  const not = (node) => (line) => {
    const holds = node(line);
    return holds === null ? null : !holds;
  };
  const one = () => {
    if (++depth > MAX_DEPTH) throw new Error(`more than ${MAX_DEPTH} conditions inside each other`);
    let node;
    if (take("not")) node = not(one());
    else if (take("(")) {
      node = any();
      if (!take(")")) throw new Error("a parenthesis is not closed");
    } else node = comparison();
    depth--;
    return node;
  };
  const comparison = () => {
    const name = words[at++];
    if (!name) throw new Error("a comparison is missing, such as `rtt > 50ms`");
    const key = keyByName.get(name.text);
    if (!key) throw new Error(`there is no \`${name.text}\`; there are ${[...keyByName.keys()].join(", ")}`);
    const value = VALUES[key.name];
    if (take("is")) {
      const isNot = take("not");
      if (!take("null")) throw new Error(`\`${key.name} is\` needs null or not null behind it`);
      return (line) => isKnown(value(line)) === isNot;
    }
    const operator = words[at++]?.text;
    if (!Object.hasOwn(OPERATORS, operator ?? "")) throw new Error(`\`${key.name}\` needs one of < <= = != >= > ~ and a value behind it`);
    const word = words[at++];
    if (!word || (!word.quoted && /^[()]$/.test(word.text))) throw new Error(`\`${key.name}\` has no value behind it`);
    if (!key.unit) {
      const want = word.text;
      const test = operator === "~" ? (have) => have.includes(want) : (have) => OPERATORS[operator](have < want ? -1 : have > want ? 1 : 0);
      return (line) => (isKnown(value(line)) ? test(String(value(line))) : null);
    }
    if (operator === "~") throw new Error(`\`${key.name}\` is a number, and \`~\` is for texts`);
    // `1 %` and `50 ms` are two words.
    let number = word.text;
    const next = words[at];
    if (next && !next.quoted && /[0-9.]$/.test(number) && suffixed(key.unit, "1", next.text) !== undefined) {
      number += next.text;
      at++;
    }
    const want = quantity(key, number);
    return (line) => (isKnown(value(line)) ? OPERATORS[operator](value(line) - want) : null);
  };
  const node = any();
  if (at < words.length) throw new Error(`\`${words[at].text}\` is not expected there`);
  return node;
}

/** Whether a text is meant as a condition, and not as words to be searched. */
const isCondition = (text) => /[<>=~]|\bis\s+(not\s+)?null\b/i.test(text);
