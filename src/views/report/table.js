// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A table that sorts and searches. Rows are made as they are asked for, so that thousands stay quick.

const ROWS_AT_ONCE = 200;

/** Paper has no room for every column. */
const classOf = (column) => [column.number ? "n" : "", column.screen ? "screen" : ""].filter(Boolean).join(" ") || null;
const collator = new Intl.Collator("en");

/**
 * columns: [{name, title, value(row), write(value), node(row), number}]
 * options: {label, rowAttributes(row), rows, conditions, onFound(rows)}
 */
function makeTable(place, columns, rows, options) {
  const first = options.rows ?? ROWS_AT_ONCE;
  const state = { sort: null, test: null, shown: first, asked: "" };
  const trouble = element("div", { class: "alarm", role: "alert" });
  const ask = () => {
    const asked = search.value.trim();
    trouble.textContent = "";
    if (options.conditions && isCondition(asked)) {
      try {
        const holds = parseCondition(asked);
        state.test = (row) => holds(row) === true;
      } catch (error) {
        // What is half typed leaves the table as it is.
        trouble.textContent = error.message;
        return;
      }
    } else {
      const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
      state.test = words.length > 0 ? (row) => words.every((word) => textOf(row).includes(word)) : null;
    }
    state.shown = first;
    draw();
  };
  const search = element("input", {
    type: "search",
    placeholder: options.conditions ? "Words, or a condition: retransmitted > 1% and rtt > 50ms" : "Search: every word must occur",
    "aria-label": `Search ${options.label}`,
    oninput: ask,
  });
  const count = element("span", { class: "note", role: "status" });
  const head = element("tr");
  const body = element("tbody");
  const more = element("button", {
    type: "button",
    class: "more",
    onclick: () => {
      state.shown += ROWS_AT_ONCE;
      draw();
    },
  });
  for (const column of columns) {
    const button = element("button", { type: "button", title: column.title, onclick: () => sortBy(column) }, column.label);
    head.append(element("th", { scope: "col", class: classOf(column), "data-column": column.name }, button));
  }
  place.replaceChildren(
    element("div", {}, search, " ", count, trouble),
    element("div", { class: "scroll" },
      element("table", { "aria-label": options.label }, element("thead", {}, head), body)),
    more);

  const written = (column, row) => (column.write || write.text)(column.value(row));
  // Made when somebody searches: of a hundred thousand connections that takes a while.
  const texts = new Map();
  function textOf(row) {
    if (!texts.has(row)) texts.set(row, columns.map((c) => written(c, row)).join(" ").toLowerCase());
    return texts.get(row);
  }

  /** The column's way, then the other, then the order in which the rows came. */
  function sortBy(column) {
    const before = state.sort && state.sort.name === column.name ? state.sort.descending : null;
    const way = Boolean(column.number);
    state.sort = before === null ? { name: column.name, descending: way } : before === way ? { name: column.name, descending: !way } : null;
    draw();
  }

  function order(found) {
    const column = state.sort && columns.find((c) => c.name === state.sort.name);
    if (!column) return found;
    const sign = state.sort.descending ? -1 : 1;
    const keyed = found.map((row) => [column.value(row), row]);
    // What is not known comes last, whichever way.
    keyed.sort(([x], [y]) => {
      if (!isKnown(x) || !isKnown(y)) return isKnown(y) - isKnown(x);
      return sign * (typeof x === "number" ? x - y : collator.compare(x, y));
    });
    return keyed.map(([, row]) => row);
  }

  function draw() {
    const found = order(state.test ? rows.filter(state.test) : rows);
    for (const th of head.children) {
      const sorted = state.sort && th.dataset.column === state.sort.name;
      if (sorted) th.setAttribute("aria-sort", state.sort.descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
    body.replaceChildren(...found.slice(0, state.shown).map((row) =>
      element("tr", options.rowAttributes ? options.rowAttributes(row) : {},
        ...columns.map((column) =>
          element("td", { class: classOf(column) }, column.node ? column.node(row) : written(column, row))))));
    count.textContent = `${write.count(found.length)} of ${write.count(rows.length)}`;
    more.hidden = found.length <= state.shown;
    more.textContent = `Show more (${write.count(found.length - state.shown)} left)`;
    if (options.onFound) options.onFound(found);
  }
  draw();
  return draw;
}
