// The table of scores: its heads, its rows a part at a time, and the sentences about it.
const SMALL_TABLE = 200;
const ROWS_AT_ONCE = 60;

function makeTable(board, handlers) {
  const table = $("table"),
    scroll = table.parentElement;
  let waiting = [],
    addRow = null;

  /** Draw what a state shows. */
  function draw(state) {
    const rows = board.shownRows(state),
      columns = board.shownColumns(state),
      standing = ranking(board, state, rows);
    const focus = table.contains(document.activeElement) ? document.activeElement.dataset.sort : undefined;
    const body = el("tbody"),
      scales = columns.map((column) => (column.measure === undefined ? null : scaleOf(rows, column.measure)));
    const plain = toAddress(board, { ...state, row: null, compared: [] });
    addRow = (row) => body.append(rowOf(board, state, row, columns, scales, standing, plain, handlers));
    waiting = rows;
    table.replaceChildren(
      el("caption", {}, el("span", {}, captionOf(board, state))),
      headOf(board, state, columns, standing),
      body,
    );
    scroll.scrollTop = 0;
    more(rows.length > SMALL_TABLE ? ROWS_AT_ONCE : SMALL_TABLE);
    $("ranked").textContent = rankedText(board, state, rows);
    const chosen = board.data.filters
      .filter((name) => state.filter[name])
      .map((name) => `${name} ${[...state.filter[name]].join(" or ")}`);
    const total = board.rows.length;
    $("left").textContent = chosen.length
      ? `${rows.length} of ${total} rows: ${chosen.join(", ")}`
      : `all ${total} rows`;
    // A heading that was pressed keeps the focus, so that a second press turns the order.
    if (focus !== undefined)
      [...table.querySelectorAll("thead button")].find((each) => each.dataset.sort === focus)?.focus();
    return rows;
  }

  /** Add the next rows: a table of ten thousand at once would take seconds. */
  function more(count = ROWS_AT_ONCE) {
    waiting.slice(0, count).forEach(addRow);
    waiting = waiting.slice(count);
    $("more").hidden = !waiting.length;
    $("more").textContent = `Show ${Math.min(ROWS_AT_ONCE, waiting.length)} more of ${waiting.length} rows`;
  }
  $("more").addEventListener("click", () => {
    const last = table.querySelector("tbody").lastElementChild;
    more();
    last.nextElementSibling?.querySelector("a").focus();
  });
  scroll.addEventListener(
    "scroll",
    () => {
      if (waiting.length && scroll.scrollTop + 2 * scroll.clientHeight > scroll.scrollHeight) more();
    },
    { passive: true },
  );
  addEventListener("beforeprint", () => more(Infinity));

  return { draw };
}

function headOf(board, state, columns, standing) {
  const groups = el("tr", { class: "grouped" });
  const heads = el("tr", { class: "heads" }, el("th", { scope: "col", class: "text" }, standing.head));
  const own = columns.filter((column) => column.group === undefined).length;
  groups.append(el("td", { colSpan: 1 + own }));
  columns.forEach((column, i) => {
    const starts = column.group !== undefined && columns[i - 1]?.group !== column.group;
    if (starts) {
      const width = columns.filter((other) => other.group === column.group).length;
      groups.append(el("th", { class: "group", scope: "colgroup", colSpan: width }, column.group));
    }
    const order = column.id === board.sortColumn(state).id ? (state.descending ? "descending" : "ascending") : "none";
    const press = el("button", { type: "button", title: `sort by ${column.title}` }, column.head);
    press.dataset.sort = column.id;
    heads.append(el("th", { class: classOf(column, i, starts), scope: "col", "aria-sort": order }, press));
  });
  return el("thead", {}, groups, heads);
}

function classOf(column, place, starts) {
  if (!place) return "text sticky";
  if (column.group !== undefined) return starts ? "start" : "";
  return column.isText ? "label text" : "label";
}

function rowOf(board, state, row, columns, scales, standing, plain, handlers) {
  const rank = standing.of.get(row),
    made = el("tr");
  if (rank) made.className = standing.isOdd(row) ? "tie-odd" : "tie-even";
  if (rank?.[0] === 1 && !standing.ofRuns) made.classList.add("best");
  const pick = el("input", {
    type: "checkbox",
    class: "pick",
    checked: handlers.isPicked(row),
    title: "compare this row with another",
    "aria-label": `compare ${row.address}`,
  });
  pick.addEventListener("change", () => handlers.pick(row, pick));
  const place = rank
    ? [el("b", {}, standing.text(row)), el("small", { title: "95% interval of the rank" }, `${rank[1]}–${rank[2]}`)]
    : ["–"];
  made.append(el("td", { class: "rank" }, pick, ...place));
  columns.forEach((column, i) => {
    const starts = column.group !== undefined && columns[i - 1]?.group !== column.group;
    if (column.measure !== undefined) made.append(scoreCell(row.scores[column.measure], scales[i], board.data, starts));
    else if (i === 0) made.append(linkCell(board, row, column, columns, plain));
    else
      made.append(
        labelCell(
          column.setting === undefined ? String(row.runs.length) : board.settingText(row, column.setting),
          classOf(column, i),
        ),
      );
  });
  return made;
}

/** The row's name in short, which leads to its runs and samples. */
function linkCell(board, row, column, columns, plain) {
  const shown = column.setting === undefined ? String(row.runs.length) : board.settingText(row, column.setting);
  const address = `#${plain ? `${plain}&` : ""}${new URLSearchParams([["row", row.address]])}`;
  const others = columns.filter(
    (other) => other.setting !== undefined && other !== column && !isMissing(row.labels[other.setting]),
  );
  const link = el("a", { class: "open", href: address, "aria-label": `${row.address}: details and samples` }, shown);
  const below = others.map((other) => `${other.setting} ${board.settingText(row, other.setting)}`).join(", ");
  return el(
    "td",
    { class: "text sticky", title: row.address },
    dot(board.colours[shown]),
    link,
    el("span", { class: "sub" }, below),
  );
}

/** A long setting breaks behind its marks, so that what tells two rows apart is never cut off. */
function labelCell(text, classes) {
  const isLong = text.length > 20;
  const parts = isLong ? text.split(/(?<=[,/])/).flatMap((part) => [part, el("wbr")]) : [text];
  return el("td", { class: isLong ? `${classes} long` : classes, title: text }, ...parts);
}

function scaleOf(rows, number) {
  let low = Infinity,
    high = -Infinity;
  for (const row of rows) {
    const score = row.scores[number];
    if (score) {
      low = Math.min(low, score[1] ?? score[0]);
      high = Math.max(high, score[2] ?? score[0]);
    }
  }
  return (value) => `${Math.max(0, Math.min(100, high > low ? ((value - low) / (high - low)) * 100 : 50))}%`;
}

function scoreCell(score, place, data, starts) {
  const classes = starts ? "start" : "";
  if (!score) return el("td", { class: classes }, "–");
  const [value, low, high, spread, runs] = score;
  const cell = el("td", { class: classes }, el("span", { class: "value" }, numberText(value)));
  if (low === null) return cell;
  const band = el("i"),
    point = el("b");
  band.style.left = place(low);
  band.style.width = `calc(${place(high)} - ${place(low)})`;
  point.style.left = place(value);
  cell.append(
    el("span", { class: "range", "aria-hidden": "true" }, band, point),
    el("span", { class: "limits" }, `95% interval ${intervalText(score)}`),
  );
  const over = spread === null ? "" : `, standard deviation ${numberText(spread)} over ${runs} ${data.averaged}`;
  cell.title = `${value} [${numberText(low)}, ${numberText(high)}] at 95%${over}`;
  return cell;
}

function captionOf(board, state) {
  const known = board.agreed(state);
  return known.length ? `All rows: ${known.map(([name, text]) => `${name} ${text}`).join(", ")}` : "";
}

function rankedText(board, state, rows) {
  const measure = board.measures[state.ranked];
  if (!measure) return "None of these rows was evaluated.";
  const total = board.rows.length;
  const among =
    rows.length === total
      ? `among all ${total} rows`
      : board.data.pairs[state.ranked]
        ? `among the ${rows.length} rows that the filters leave`
        : `among all ${total} rows, whatever is filtered (simset-bench leaderboard --where ranks a part alone)`;
  const better = measure.better ? `, ${measure.better} is better` : "";
  const ofRuns =
    measure.ranks_of === "runs"
      ? " Every row is one run: ranks order these runs and say nothing about their settings."
      : "";
  return (
    `Ranked on ${titled(measure)}${better}${byChance(measure)}.${ofRuns} “=” marks a shared rank; ` +
    `beside it stands the rank's 95% interval, ${among}. ` +
    "Bars are 95% intervals. Press a heading to sort, a row's name for its runs and samples, two boxes to compare rows."
  );
}
