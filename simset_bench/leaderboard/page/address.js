// What is shown, as the part of the address behind "#": filters, order, ranks, columns, and the open row or comparison.
// It is read by name against what the board has. All else is left out, and never becomes more than a text.

function toAddress(board, state) {
  const start = board.startState(),
    parts = new URLSearchParams();
  for (const [name, texts] of Object.entries(state.filter))
    for (const text of texts) parts.append(`only.${name}`, text);
  if (state.sort !== start.sort || state.descending !== start.descending) parts.append("sort", state.sort);
  const column = board.sortColumn(state);
  if (parts.has("sort") && state.descending !== board.isHigherBetter(column.measure))
    parts.append("order", state.descending ? "down" : "up");
  if (state.ranked !== start.ranked) parts.append("rank", board.measures[state.ranked].name);
  const isSame = state.groups.size === start.groups.size && [...state.groups].every((group) => start.groups.has(group));
  if (!isSame) (state.groups.size ? [...state.groups] : [""]).forEach((group) => parts.append("group", group));
  if (state.every) parts.append("measures", "all");
  state.show.forEach((id) => parts.append("show", id));
  state.hide.forEach((id) => parts.append("hide", id));
  if (state.row) parts.append("row", state.row.address);
  state.compared.forEach((row) => parts.append("compare", row.address));
  return parts.toString();
}

/** The state that an address asks for, and what of it this board does not have, as texts. */
function fromAddress(board, address) {
  const state = board.startState(),
    unknown = [];
  const parts = new URLSearchParams(address.replace(/^#/, ""));
  const ids = new Set(board.columns.map((column) => column.id));
  const numbers = new Map(board.measures.map((measure, number) => [measure.name, number]));
  const known = (key, has) => parts.getAll(key).filter((text) => has(text) || (unknown.push(`${key} ${text}`), false));

  for (const name of board.data.filters) {
    const texts = known(`only.${name}`, (text) => board.values(name).includes(text));
    if (texts.length) state.filter[name] = new Set(texts);
  }
  const [sort] = known("sort", (text) => ids.has(text));
  if (sort !== undefined) {
    state.sort = sort;
    state.descending = board.isHigherBetter(numbers.get(sort));
  }
  const [order] = known("order", (text) => text === "up" || text === "down");
  if (order !== undefined) state.descending = order === "down";
  const [ranked] = known("rank", (text) => board.isRanked(numbers.get(text)));
  if (ranked !== undefined) state.ranked = numbers.get(ranked);
  if (parts.has("group")) {
    const groups = known("group", (text) => text === "" || board.groups.includes(text));
    if (groups.length) state.groups = new Set(groups.filter(Boolean));
  }
  state.every = known("measures", (text) => text === "all").length > 0;
  state.show = new Set(known("show", (text) => ids.has(text)));
  state.hide = new Set(known("hide", (text) => ids.has(text) && !state.show.has(text)));
  const [row] = known("row", (text) => board.byAddress.has(text));
  state.row = board.byAddress.get(row) ?? rowByNumber(board, address);
  const compared = known("compare", (text) => board.byAddress.has(text)).map((text) => board.byAddress.get(text));
  if (compared.length === 2 && compared[0] !== compared[1]) state.compared = compared;
  if (state.compared.length) state.row = null;
  return { state, unknown };
}

/** Addresses of earlier pages name a row by its number. */
function rowByNumber(board, address) {
  const numbered = /^#row-(\d{1,6})$/.exec(address);
  return numbered ? (board.rows[Number(numbered[1])] ?? null) : null;
}
