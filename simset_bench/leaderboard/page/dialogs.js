// The dialogs about rows: one row with its runs and samples, and two rows side by side.

function samplesTable(board, task) {
  // A column that no sample has a text for would only take room.
  const texts = ["sample", "prompt", "target", "answer"],
    textOf = (sample, i) => board.data.texts[sample[i]];
  const kept = [...texts.keys()].filter((i) => !i || task.samples.some((sample) => textOf(sample, i)));
  const rows = task.samples.map((sample) => [
    ...kept.map((i) => el("td", { class: i ? "long" : "" }, textOf(sample, i))),
    ...sample.slice(texts.length).map((value) => el("td", { class: "number" }, numberText(value))),
  ]);
  const some = `the first ${task.samples.length} of ${task.of} samples; simset-bench show RUN lists all`;
  const caption = task.samples.length < task.of ? some : `all ${task.of} samples`;
  return scrollTable(
    `samples of ${task.task}`,
    [...kept.map((i) => texts[i]), ...task.measures],
    rows,
    caption,
    "samples",
  );
}

function runDetail(board, run) {
  const parts = [
    el("h3", {}, "Configuration"),
    pairsList({ folder: run.folder, ...run.config, ...run.facts }),
    el("details", {}, el("summary", {}, "Versions and hashes"), pairsList({ ...run.versions, ...run.hashes })),
    el("h3", {}, "Samples"),
  ];
  if (!run.tasks.length) return [...parts, el("p", { class: "hint" }, "Not evaluated.")];
  const place = el("div"),
    select = el("select", {}, ...run.tasks.map((task, i) => el("option", { value: String(i) }, task.task)));
  const show = () => place.replaceChildren(samplesTable(board, run.tasks[Number(select.value)]));
  select.addEventListener("change", show);
  show();
  return [...parts, el("label", {}, "Task ", select), place];
}

function scoresTable(board, row, numbers, name) {
  const heads = ["measure", "value", "95% interval", `sd over ${board.data.averaged}`, "rank among all rows"];
  return scrollTable(
    name,
    heads,
    numbers.map((m) => {
      const score = row.scores[m],
        rank = row.ranks[m];
      const rankText = rank ? `${rank[0]} (${rank[1]}–${rank[2]})` : "–";
      return [
        titled(board.measures[m]) + arrow(board.measures[m]) + byChance(board.measures[m]),
        numberText(score[0]),
        intervalText(score),
        numberText(score[3]),
        rankText,
      ];
    }),
  );
}

const seedText = (run) => `mem_seed ${labelText(run.config.mem_seed)}, seed ${labelText(run.config.seed)}`;

function showDetail(board, row, charts) {
  const place = el("div"),
    curve = el("div", { class: "view" }),
    runs = row.runs.map((number) => board.runs[number]);
  const select = el("select", {}, ...runs.map((run, i) => el("option", { value: String(i) }, seedText(run))));
  select.addEventListener("change", () => place.replaceChildren(...runDetail(board, runs[Number(select.value)])));
  place.replaceChildren(...runDetail(board, runs[0]));
  const [known, rest] = splitScores(board, [row]);
  const points = runs.flatMap((run, i) => curvePoints(run, `run ${i + 1}`, row));
  $("detail-title").textContent = row.address;
  $("detail-body").replaceChildren(
    el("h3", {}, "Scores"),
    scoresTable(board, row, known, "best known scores"),
    ...(rest.length
      ? [
          el(
            "details",
            {},
            el("summary", {}, `${rest.length} more measures`),
            scoresTable(board, row, rest, "more scores"),
          ),
        ]
      : []),
    ...(points.length ? [el("h3", {}, `Training: cross-entropy by epoch, n = ${runs.length} runs`), curve] : []),
    ...(runs.length > 1 ? [el("p", {}, el("label", {}, "Run ", select))] : []),
    place,
  );
  openDialog("detail");
  if (points.length)
    drawChart(
      curve,
      { ...charts.curves, height: 170, datasets: { rows: points } },
      `training curves of ${row.address}`,
    );
}

function openDialog(id) {
  $("message").textContent = "";
  if (!$(id).open) $(id).showModal();
  $(id).scrollTop = 0;
}

/** Numbers of the measures that any of `rows` has: those that the table starts with, and the others. */
function splitScores(board, rows) {
  const present = [...board.measures.keys()].filter((m) => rows.some((row) => row.scores[m]));
  return [present.filter((m) => board.measures[m].headline), present.filter((m) => !board.measures[m].headline)];
}

function showComparison(board, [one, other]) {
  const settings = settingsOf(board, [one, other]),
    differ = settings.filter(([, a, b]) => a !== b),
    same = settings.filter(([, a, b]) => a === b);
  const [known, rest] = splitScores(board, [one, other]);
  $("comparison-title").textContent = "Two rows side by side";
  $("comparison-body").replaceChildren(
    el("p", {}, el("b", {}, "A"), ` ${one.address}`, el("br"), el("b", {}, "B"), ` ${other.address}`),
    el("h3", {}, "Settings that differ"),
    differ.length
      ? scrollTable("settings that differ", ["setting", "A", "B"], differ, "", "settings")
      : el("p", { class: "hint" }, "None but the runs themselves."),
    el(
      "details",
      {},
      el("summary", {}, `${same.length} settings that are the same`),
      pairsList(Object.fromEntries(same)),
    ),
    el("h3", {}, "Figures, with intervals at 95%"),
    figuresTable(board, one, other, known, "best known figures"),
    ...(rest.length
      ? [
          el(
            "details",
            {},
            el("summary", {}, `${rest.length} more measures`),
            figuresTable(board, one, other, rest, "more figures"),
          ),
        ]
      : []),
    el(
      "p",
      { class: "hint" },
      "Two intervals that overlap do not say that the rows are alike. “Told apart” is what the tests of all pairs " +
        "of rows say, with Holm's correction over the whole table.",
    ),
    el("h3", {}, "Paired difference"),
    ...differenceCommands(board, one, other),
  );
  openDialog("comparison");
}

function figuresTable(board, one, other, numbers, name) {
  const told = (m) =>
    one.scores[m] && other.scores[m]
      ? ({ true: "yes", false: "no" }[board.isToldApart(m, one, other)] ?? "not tested")
      : "–";
  const heads = ["measure", "A", "A's interval", "B", "B's interval", "told apart"];
  return scrollTable(
    name,
    heads,
    numbers.map((m) => {
      const [a, b] = [one.scores[m], other.scores[m]],
        measure = board.measures[m];
      return [
        titled(measure) + arrow(measure) + byChance(measure),
        numberText(a?.[0]),
        intervalText(a),
        numberText(b?.[0]),
        intervalText(b),
        told(m),
      ];
    }),
  );
}

/** Settings as [name, of A, of B]: what the table shows of the rows, and all options of their runs. */
function settingsOf(board, rows) {
  const valuesOf = (row, name) => {
    if (name in row.labels) return board.settingText(row, name);
    return [...new Set(row.runs.map((number) => labelText(board.runs[number].config[name])))].join(", ");
  };
  const options = rows.flatMap((row) => row.runs.flatMap((number) => Object.keys(board.runs[number].config)));
  const taken = { num_docs: "documents", num_clusters: "clusters" };
  const names = new Set([...board.settings, ...options.filter((name) => !(taken[name] in board.data.columns))]);
  return [...names].map((name) => [name, ...rows.map((row) => valuesOf(row, name))]);
}

/** The page holds no paired differences; `simset-bench compare` gives them for two runs, here those of one seed. */
function differenceCommands(board, one, other) {
  const said = "The page does not hold the samples that a paired difference needs in full. ";
  const pairs = one.runs
    .map((number) => board.runs[number])
    .flatMap((run) => {
      const like = other.runs.map((number) => board.runs[number]).find((each) => seedText(each) === seedText(run));
      return like ? [[run, like]] : [];
    });
  if (!pairs.length) pairs.push([board.runs[one.runs[0]], board.runs[other.runs[0]]]);
  const folders = pairs.flat().map((run) => run.folder);
  if (folders.some((folder) => printable(folder) !== folder)) {
    return [
      el(
        "p",
        {},
        `${said}simset-bench compare gives it; a folder's name has characters that no command should be pasted with.`,
      ),
    ];
  }
  const lines = pairs.map((pair) => `simset-bench compare ${pair.map((run) => shellWord(run.folder)).join(" ")}`);
  const contrast = contrastCommand(board, one, other);
  const several =
    pairs.length > 1
      ? `These ${pairs.length} commands, one for each seed that both rows have, give it`
      : "This command gives it";
  return [
    el("p", {}, `${said}${several}, with its interval and p value:`),
    el("pre", { tabindex: "0", class: "command" }, lines.join("\n")),
    button("Copy", () => copy(`${lines.join("\n")}\n`, `${lines.length} command${lines.length > 1 ? "s" : ""}`), {
      "aria-label": "Copy the command",
    }),
    ...(contrast
      ? [
          el("p", {}, "They speak of single runs. Over all seeds at once, wherever all else is equal:"),
          el("pre", { tabindex: "0", class: "command" }, contrast),
          button("Copy", () => copy(`${contrast}\n`, "1 command"), { "aria-label": "Copy the contrast" }),
        ]
      : []),
  ];
}

/** The contrast of two rows of several seeds that differ in one setting alone; none where it takes more than that. */
function contrastCommand(board, one, other) {
  const differ = settingsOf(board, [one, other]).filter(
    ([name, a, b]) => a !== b && a !== "–" && b !== "–" && !name.endsWith("seed"),
  );
  const isPlain =
    differ.length === 1 && /^\w+$/.test(differ[0][0]) && differ[0].slice(1).every((text) => /^[\w.-]+$/.test(text));
  if (!isPlain || one.runs.length < 2 || other.runs.length < 2 || board.data.sort === null) return null;
  const [name, a, b] = differ[0],
    folders = [...one.runs, ...other.runs].map((number) => board.runs[number].folder.split("/"));
  const shared = folders[0].findIndex((part, i) => folders.some((folder) => folder[i] !== part));
  const root = folders[0].slice(0, shared).join("/") || ".";
  const measure = shellWord(board.measures[board.data.sort].name);
  return `simset-bench contrast ${shellWord(root)} --between ${name}=${a},${b} --sort ${measure}`;
}
