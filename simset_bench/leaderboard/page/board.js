// The rows and columns of the page's data, and which of them a state shows. Nothing here draws.

/** How two settings are ordered: numbers by size, texts with the numbers in them, and what is missing last. */
const collator = new Intl.Collator("en", { numeric: true });
const isMissing = (value) => value === null || value === undefined;
function compareValues(a, b) {
  if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
}

function makeBoard(data) {
  const { measures, rows } = data;
  const names = new Map(),
    known = new Map();
  for (const [number, row] of rows.entries()) {
    row.number = number;
    row.kindText = labelText(row.kind);
    // A row's name is its address. Of two with one name the second is "NAME (2)".
    const times = (names.get(row.name) ?? 0) + 1;
    names.set(row.name, times);
    row.address = times === 1 ? row.name : `${row.name} (${times})`;
  }
  const byAddress = new Map(rows.map((row) => [row.address, row]));

  /** The texts of a setting over all rows, in order. */
  function values(name) {
    if (!known.has(name)) {
      const texts = new Map(rows.map((row) => [labelText(row.labels[name]), row.labels[name]]));
      known.set(
        name,
        [...texts].sort(([, a], [, b]) => compareValues(a, b)).map(([text]) => text),
      );
    }
    return known.get(name);
  }
  // Rows differ in a setting with two values or more: a bare base's lack of a layer says nothing against them.
  const varied = (name) => values(name).filter((text) => text !== "–").length > 1;
  const settings = Object.keys(data.columns).sort((a, b) => (b === "allocation") - (a === "allocation"));
  const runsDiffer = new Set(rows.map((row) => row.runs.length)).size > 1;

  /** All columns in the order of the table; `id` names one in addresses, the page starts with those `byDefault`. */
  const columns = [
    ...settings.map((name) => ({
      id: name,
      setting: name,
      head: data.columns[name],
      title: name,
      byDefault: name === "allocation" || varied(name),
      isText: rows.some((row) => typeof row.labels[name] === "string"),
    })),
    { id: data.averaged, head: data.averaged, title: `number of ${data.averaged} averaged`, byDefault: runsDiffer },
    ...data.groups.flatMap((group) =>
      measures
        .map((measure, number) => ({ ...measure, number }))
        .filter((measure) => measure.group === group)
        .map((measure) => ({
          id: measure.name,
          measure: measure.number,
          group,
          head: measure.short + arrow(measure),
          title: titled(measure) + byChance(measure),
          byDefault: measure.headline,
        })),
    ),
  ];
  const groups = data.groups.filter((group) => measures.some((measure) => measure.group === group));

  const startState = () => ({
    filter: {},
    sort: data.sort === null ? columns[0].id : measures[data.sort].name,
    descending: isHigherBetter(data.sort),
    ranked: data.sort,
    every: false,
    show: new Set(),
    hide: new Set(),
    row: null,
    compared: [],
    groups: new Set(narrow.matches && data.sort !== null ? [measures[data.sort].group] : groups),
  });
  function isHigherBetter(number) {
    return number !== null && number !== undefined && measures[number].better === "higher";
  }

  function isShown(state, column) {
    // The first one has the links to the rows.
    if (column === columns[0]) return true;
    if (state.hide.has(column.id)) return false;
    if (state.show.has(column.id)) return true;
    if (column.measure === undefined) return column.byDefault;
    return state.groups.has(column.group) && (state.every || column.byDefault || column.measure === state.ranked);
  }
  const shownColumns = (state) => columns.filter((column) => isShown(state, column));
  /** What is the same in every row and has no column, as [name, text]. */
  const agreed = (state) => {
    const same = settings
      .filter((name) => !varied(name))
      .map((name) => [name, values(name).find((text) => text !== "–")]);
    if (!runsDiffer) same.push([data.averaged, String(rows[0].runs.length)]);
    return same.filter(([name, text]) => text !== undefined && !state.show.has(name));
  };

  const sortColumn = (state) => columns.find((column) => column.id === state.sort) ?? columns[0];
  function keyOf(column) {
    if (column.measure !== undefined) return (row) => row.scores[column.measure]?.[0];
    if (column.setting === undefined) return (row) => row.runs.length;
    return column.setting === "allocation" ? (row) => row.kind : (row) => row.labels[column.setting];
  }
  /** The rows that the filters leave, in order. What has no value goes last, whichever way the others stand. */
  function shownRows(state) {
    const chosen = Object.entries(state.filter),
      key = keyOf(sortColumn(state)),
      sign = state.descending ? -1 : 1;
    const left = rows.filter((row) => chosen.every(([name, texts]) => texts.has(labelText(row.labels[name]))));
    const order = (a, b) => (isMissing(a.key) || isMissing(b.key) ? 1 : sign) * compareValues(a.key, b.key);
    return left
      .map((row) => ({ row, key: key(row) }))
      .sort(order)
      .map(({ row }) => row);
  }

  function settingText(row, name) {
    return name === "allocation" ? row.kindText : labelText(row.labels[name]);
  }
  const isRanked = (number) => rows.some((row) => row.ranks[number]);
  return {
    data,
    measures,
    rows,
    runs: data.runs,
    columns,
    groups,
    settings,
    values,
    varied,
    byAddress,
    startState,
    isShown,
    shownColumns,
    shownRows,
    sortColumn,
    agreed,
    settingText,
    isHigherBetter,
    isRanked,
    ...makeRanking(data),
  };
}

const arrow = (measure) => ({ higher: " ↑", lower: " ↓" })[measure.better] ?? "";
const titled = (measure) => measure.name + (measure.unit ? ` (${measure.unit})` : "");
const byChance = (measure) => (measure.chance === null ? "" : `, ${measure.chance} by chance`);
const intervalText = (score) => (isMissing(score?.[1]) ? "–" : `${numberText(score[1])} to ${numberText(score[2])}`);
const errorText = (score) =>
  score ? numberText(score[0]) + (isMissing(score[5]) ? "" : ` ±${numberText(score[5])}`) : "–";

/** The shown table as texts, for copying: with ranks, their intervals, and ± one standard error as in the terminal. */
function tableOf(board, state) {
  const rows = board.shownRows(state),
    columns = board.shownColumns(state),
    standing = ranking(board, state, rows);
  const cell = (row, column) => {
    if (column.measure !== undefined) return errorText(row.scores[column.measure]);
    return column.setting === undefined ? String(row.runs.length) : board.settingText(row, column.setting);
  };
  const rankCells = (row) =>
    standing.of.has(row) ? [standing.text(row), standing.of.get(row).slice(1).join("–")] : ["–", "–"];
  return {
    heads: [standing.head, "range", ...columns.map((column) => column.head)],
    rows: rows.map((row) => [...rankCells(row), ...columns.map((column) => cell(row, column))]),
    numeric: [true, true, ...columns.map((column) => !column.isText)],
    notes: board.data.errors,
  };
}

/** Ranks among `rows` on the ranked measure: by row [rank, lowest, highest], its text with the mark of shared ones. */
function ranking(board, state, rows) {
  const of = board.ranksOf(state.ranked, rows),
    shared = new Map();
  of.forEach(([rank]) => shared.set(rank, (shared.get(rank) ?? 0) + 1));
  const ofRuns = board.measures[state.ranked]?.ranks_of === "runs";
  const order = new Map([...shared.keys()].sort((a, b) => a - b).map((rank, place) => [rank, place]));
  const text = (row) => (shared.get(of.get(row)[0]) > 1 ? "=" : "") + of.get(row)[0];
  return { of, text, ofRuns, isOdd: (row) => order.get(of.get(row)[0]) % 2 === 0, head: ofRuns ? "run rank" : "rank" };
}
