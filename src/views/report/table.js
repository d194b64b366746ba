// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A table that sorts and searches. Rows are made as they are asked for, so that thousands stay quick.

const ROWS_AT_ONCE = 200;

/**
 * columns: [{name, title, value(row), write(value), node(row), number}]
 * options: {label, rowAttributes(row), rows, sort: {name, descending}}
 */
function makeTable(place, columns, rows, options) {
  const first = options.rows ?? ROWS_AT_ONCE;
  const state = { sort: options.sort, words: [], shown: first };
  const search = element("input", {
    type: "search",
    placeholder: "Search: every word must occur",
    "aria-label": `Search ${options.label}`,
    oninput: () => {
      state.words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      state.shown = first;
      draw();
    },
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
    head.append(element("th", { scope: "col", class: column.number ? "n" : null, "data-column": column.name }, button));
  }
  place.replaceChildren(
    element("div", {}, search, " ", count),
    element("div", { class: "scroll" },
      element("table", { "aria-label": options.label }, element("thead", {}, head), body)),
    more);

  const written = (column, row) => (column.write || write.text)(column.value(row));
  const texts = new Map(rows.map((row) => [row, columns.map((c) => written(c, row)).join(" ").toLowerCase()]));

  function sortBy(column) {
    const again = state.sort && state.sort.name === column.name;
    state.sort = { name: column.name, descending: again ? !state.sort.descending : Boolean(column.number) };
    draw();
  }

  function order(found) {
    const column = state.sort && columns.find((c) => c.name === state.sort.name);
    if (!column) return found;
    const sign = state.sort.descending ? -1 : 1;
    // What is not known comes last, whichever way.
    return found.slice().sort((a, b) => {
      const [x, y] = [column.value(a), column.value(b)];
      if (!isKnown(x) || !isKnown(y)) return isKnown(y) - isKnown(x);
      return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
    });
  }

  function draw() {
    const found = order(rows.filter((row) => state.words.every((word) => texts.get(row).includes(word))));
    for (const th of head.children) {
      const sorted = state.sort && th.dataset.column === state.sort.name;
      if (sorted) th.setAttribute("aria-sort", state.sort.descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
    body.replaceChildren(...found.slice(0, state.shown).map((row) =>
      element("tr", options.rowAttributes ? options.rowAttributes(row) : {},
        ...columns.map((column) =>
          element("td", { class: column.number ? "n" : null }, column.node ? column.node(row) : written(column, row))))));
    count.textContent = `${found.length} of ${rows.length}`;
    more.hidden = found.length <= state.shown;
    more.textContent = `Show more (${found.length - state.shown} left)`;
  }
  draw();
  return draw;
}
