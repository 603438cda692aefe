"use strict";
// Texts of runs reach the page only as text nodes and attribute values: nothing here writes HTML.
(async () => {
  const bytes = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const unpacked = new Blob([bytes("data")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(unpacked).json();
  const { charts, colours } = JSON.parse(new TextDecoder().decode(bytes("charts")));
  const $ = (id) => document.getElementById(id);
  const el = (name, props = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(props)) {
      if (key === "class") made.className = value;
      else if (key in made && !key.startsWith("aria")) made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };
  const narrow = matchMedia("(max-width: 700px)"), dark = matchMedia("(prefers-color-scheme: dark)");
  const number = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return size && (size < 0.001 || size >= 1e5) ? value.toExponential(1) : size < 10 ? value.toFixed(3) : size < 1000 ? value.toFixed(1) : value.toFixed(0);
  };
  const label = (value) => (value === null || value === undefined ? "–" : String(value));
  const arrow = { higher: " ↑", lower: " ↓" };
  const measures = data.measures;
  const titled = (m) => measures[m].name + (measures[m].unit ? ` (${measures[m].unit})` : "");
  const byChance = (m) => (measures[m].chance === null ? "" : `, ${measures[m].chance} by chance`);
  const columns = Object.keys(data.columns), ranksOf = makeRanking(data);
  const kind = (row) => label(row.kind);
  const state = { filter: {}, sort: data.sort === null ? { label: columns[0] } : { measure: data.sort }, descending: false, ranked: data.sort, groups: new Set(data.groups), every: false };
  if (state.sort.measure !== undefined) state.descending = measures[state.sort.measure].better === "higher";
  if (narrow.matches && data.sort !== null) state.groups = new Set([measures[data.sort].group]);

  const values = (name) => {
    const found = new Map(data.rows.map((row) => [label(row.labels[name]), row.labels[name]]));
    return [...found].sort(([, a], [, b]) => compare(a, b)).map(([text]) => text);
  };
  // Rows differ in a column where it has two values or more: a bare base's lack of a layer says nothing against them.
  const varied = (name) => values(name).filter((text) => text !== "–").length > 1;
  const compare = (a, b) => {
    if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
    if (b === null || b === undefined) return -1;
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  };

  function chip(text, checked, change, colour, shownText = text) {
    const input = el("input", { type: "checkbox", checked });
    input.addEventListener("change", () => change(input.checked));
    const shown = el("span", { title: shownText }, shownText);
    if (colour) { const dot = el("i", { class: "dot" }); dot.style.background = colour; shown.prepend(dot); }
    return el("label", { class: "chip" }, input, shown);
  }
  function drawFilters() {
    const parts = data.filters.filter(varied).map((name) => {
      const set = el("fieldset", {}, el("legend", {}, name));
      set.append(...values(name).map((text) => chip(text, Boolean(state.filter[name]?.has(text)), (on) => {
        const chosen = (state.filter[name] ??= new Set());
        if (on) chosen.add(text); else chosen.delete(text);
        if (!chosen.size) delete state.filter[name];
        draw();
      }, name === "allocation" ? colours[text] : undefined, text === "–" ? `no ${name}` : text)));
      return set;
    });
    $("filters").replaceChildren(...(parts.length ? parts : ["All rows agree in everything that could be filtered by."]));
    const present = data.groups.filter((group) => measures.some((m) => m.group === group));
    $("groups").replaceChildren(el("legend", {}, "Columns"), ...present.map((group) => chip(group, state.groups.has(group), (on) => { state.groups[on ? "add" : "delete"](group); drawTable(); })),
      chip("every measure", state.every, (on) => { state.every = on; drawTable(); }));
  }
  const visible = () => data.rows.filter((row) => Object.entries(state.filter).every(([name, chosen]) => chosen.has(label(row.labels[name]))));
  const key = (row) => (state.sort.measure !== undefined ? row.scores[state.sort.measure]?.[0] : state.sort.label === "allocation" ? row.kind : row.labels[state.sort.label]);
  function sorted(rows) {
    const sign = state.descending ? -1 : 1;
    return [...rows].sort((a, b) => {
      const [one, other] = [key(a), key(b)];
      // What has no value goes last, whichever way the others stand.
      if (one === undefined || one === null || other === undefined || other === null) return compare(one, other);
      return sign * compare(one, other);
    });
  }
  const shownMeasures = () => data.groups.flatMap((group) => measures.map((m, i) => i).filter((i) => measures[i].group === group && state.groups.has(group) && (state.every || measures[i].headline || i === state.ranked)));

  function sortBy(sort) {
    const same = sort.measure === state.sort.measure && sort.label === state.sort.label;
    state.descending = same ? !state.descending : sort.measure !== undefined && measures[sort.measure].better === "higher";
    state.sort = sort;
    if (sort.measure !== undefined && data.rows.some((row) => row.ranks[sort.measure])) state.ranked = sort.measure;
    drawTable(sort);
  }
  function head(text, sort, classes, title) {
    const chosen = sort.measure === state.sort.measure && sort.label === state.sort.label;
    const button = el("button", { type: "button", title }, text);
    button.addEventListener("click", () => sortBy(sort));
    button.dataset.sort = JSON.stringify(sort);
    return el("th", { class: classes, scope: "col", "aria-sort": chosen ? (state.descending ? "descending" : "ascending") : "none" }, button);
  }
  function scale(rows, m) {
    const found = rows.map((row) => row.scores[m]).filter(Boolean);
    const low = Math.min(...found.map((s) => s[1] ?? s[0])), high = Math.max(...found.map((s) => s[2] ?? s[0]));
    return (value) => `${Math.max(0, Math.min(100, high > low ? ((value - low) / (high - low)) * 100 : 50))}%`;
  }
  function scoreCell(score, place, classes) {
    if (!score) return el("td", { class: classes }, "–");
    const [value, low, high, spread, seeds] = score;
    const cell = el("td", { class: classes }, el("span", { class: "value" }, number(value)));
    if (low !== null) {
      const band = el("i"), point = el("b");
      band.style.left = place(low); band.style.width = `calc(${place(high)} - ${place(low)})`; point.style.left = place(value);
      cell.append(el("span", { class: "range", "aria-hidden": "true" }, band, point), el("span", { class: "limits" }, `95% interval ${number(low)} to ${number(high)}`));
      cell.title = `${value} [${number(low)}, ${number(high)}] at 95%` + (spread === null ? "" : `, standard deviation ${number(spread)} over ${seeds} ${data.averaged}`);
    }
    return cell;
  }
  function drawTable(focus) {
    const rows = sorted(visible()), chosen = shownMeasures();
    const labels = columns.filter((name) => name === "allocation" || varied(name));
    labels.sort((a, b) => (b === "allocation") - (a === "allocation"));
    const groups = el("tr", { class: "grouped" }, el("td", { colSpan: 2 + labels.length }));
    const heads = el("tr", { class: "heads" }, el("th", { scope: "col", class: "text" }, measures[state.ranked]?.ranks_of === "runs" ? "run rank" : "rank"));
    labels.forEach((name, i) => heads.append(head(data.columns[name], { label: name }, i ? "label" : "text sticky", `sort by ${name}`)));
    heads.append(el("th", { scope: "col", class: "label" }, data.averaged));
    chosen.forEach((m, i) => {
      const start = !i || measures[chosen[i - 1]].group !== measures[m].group;
      if (start) groups.append(el("th", { class: "group", scope: "colgroup", colSpan: chosen.filter((n) => measures[n].group === measures[m].group).length }, measures[m].group));
      heads.append(head(measures[m].short + (arrow[measures[m].better] ?? ""), { measure: m }, start ? "start" : "", `sort by ${titled(m)}${byChance(m)}`));
    });
    const standing = ranksOf(state.ranked, rows), ranks = rows.map((row) => standing.get(row)), shared = new Map();
    standing.forEach(([rank]) => shared.set(rank, (shared.get(rank) ?? 0) + 1));
    const order = [...shared.keys()].sort((a, b) => a - b);
    const places = chosen.map((m) => scale(rows, m));
    const body = el("tbody", {}, ...rows.map((row, number_) => {
      const rank = ranks[number_], made = el("tr");
      if (rank) made.className = `${order.indexOf(rank[0]) % 2 ? "tie-even" : "tie-odd"}${rank[0] === 1 && measures[state.ranked].ranks_of !== "runs" ? " best" : ""}`;
      made.append(el("td", { class: "rank" }, ...(rank ? [el("b", {}, (shared.get(rank[0]) > 1 ? "=" : "") + rank[0]), el("small", { title: "95% interval of the rank" }, `${rank[1]}–${rank[2]}`)] : ["–"])));
      labels.forEach((name, i) => {
        const shown = name === "allocation" ? kind(row) : label(row.labels[name]);
        const cell = el("td", { class: i ? "label" : "text sticky", title: i ? shown : row.name });
        if (i) cell.append(shown);
        else {
          const dot = el("i", { class: "dot" }); dot.style.background = colours[shown] ?? "#888";
          cell.append(dot, el("a", { class: "open", href: `#row-${data.rows.indexOf(row)}`, "aria-label": `${row.name}: details and samples` }, shown), el("span", { class: "sub" }, labels.filter((other) => other !== name && row.labels[other] !== null).map((other) => `${other} ${label(row.labels[other])}`).join(", ")));
        }
        made.append(cell);
      });
      made.append(el("td", { class: "label" }, String(row.runs.length)));
      chosen.forEach((m, i) => made.append(scoreCell(row.scores[m], places[i], !i || measures[chosen[i - 1]].group !== measures[m].group ? "start" : "")));
      return made;
    }));
    const caption = el("caption", {}, agreed());
    $("table").replaceChildren(caption, el("thead", {}, groups, heads), body);
    $("ranked").textContent = state.ranked === null ? "None of these rows was evaluated." :
      `Ranked on ${titled(state.ranked)}${measures[state.ranked].better ? `, ${measures[state.ranked].better} is better` : ""}${byChance(state.ranked)}. ${measures[state.ranked].ranks_of === "runs" ? "Every row is one run: ranks order these runs and say nothing about their settings. " : ""}“=” marks a shared rank; beside it stands the rank's 95% interval, ${among(rows)}. Bars are 95% intervals; click a heading to sort, an allocation for its runs and samples.`;
    if (focus) [...document.querySelectorAll("#table thead button")].find((b) => b.dataset.sort === JSON.stringify(focus))?.focus();
  }
  const among = (rows) => (rows.length === data.rows.length ? `among all ${rows.length} rows` : data.pairs[state.ranked] ? `among the ${rows.length} rows that the filters leave` :
    `among all ${data.rows.length} rows, whatever is filtered (simset-bench leaderboard --where ranks a part alone)`);
  function agreed() {
    const said = columns.filter((name) => name !== "allocation" && !varied(name));
    const known = said.map((name) => [name, values(name).find((text) => text !== "–")]).filter(([, text]) => text !== undefined);
    return known.length ? `All rows: ${known.map(([name, text]) => `${name} ${text}`).join(", ")}` : "";
  }

  // Plots: each says what it draws of the rows, its choices, and what it cannot draw.
  const withMeasure = (accept) => measures.map((m, i) => i).filter((i) => accept(measures[i]) && data.rows.some((row) => row.scores[i]));
  const first = (found, ...names) => names.map((name) => found.find((i) => measures[i].name === name)).find((i) => i !== undefined) ?? found[0];
  const mean = (found) => found.reduce((a, b) => a + b, 0) / found.length;
  const score = (row, m) => row.scores[m];
  const every = withMeasure((m) => m.better), recall = withMeasure((m) => m.better && (m.group === "recall" || m.group === "memorisation")), erase = withMeasure((m) => m.group === "location" && m.better);
  const depth = (row) => { const run = data.runs[row.runs[0]]; return row.labels.layer === null || row.labels.layer === undefined || !run.blocks ? null : row.labels.layer / run.blocks; };
  // Rows that are alike in all but `own` columns make a line; one of a single place says nothing about x.
  const alongX = (x, own) => (rows, { measure }) => {
    const line = (row) => JSON.stringify([row.kind, ...columns.filter((c) => !own.includes(c)).map((c) => row.labels[c])]);
    const found = rows.map((row) => ({ row, x: x(row), s: score(row, measure), line: line(row) })).filter((r) => r.s && r.x !== null && r.x !== undefined);
    const several = found.filter((r) => found.some((o) => o.line === r.line && o.x !== r.x));
    const kept = (several.length ? several : found).map(({ row, x: at, s, line: l }) => ({ series: row.name, line: l, kind: kind(row), x: at, value: s[0], low: s[1] ?? s[0], high: s[2] ?? s[0] }));
    return Object.assign(kept, { leftOut: found.length - kept.length });
  };
  const alone = (what) => (found) => (found.leftOut ? `${found.leftOut} rows that have no like at another ${what} are left out` : "");
  const asOptions = (found) => found.map((m) => [m, measures[m].name]);
  const others = columns.filter((name) => !["allocation", "alpha"].includes(name) && varied(name));
  const settingOf = (row) => others.map((name) => (name === "documents" ? `${label(row.labels[name])} documents` : `${name} ${label(row.labels[name])}`)).join(", ");
  const inHeat = (row) => row.kind === row.labels.allocation && typeof row.labels.alpha === "number";
  const settings = [...new Set(data.rows.filter(inHeat).map(settingOf))].sort((a, b) => compare(a, b));
  const kept = every.filter((m) => data.retention.some((p) => p.measure === m));
  const PLOTS = [
    { id: "heat", title: "Alpha by allocation", choices: { measure: asOptions(every), setting: [["", "the one with most cells"], ...settings.map((text) => [text, text])] }, start: { measure: first(every, "docmem/nll"), setting: "" }, needs: "evaluated rows with an allocation and an alpha, at this setting",
      // One setting at a time: a mean over several would compare cells of different layers or numbers of documents.
      rows: (rows, { measure, setting }) => {
        const bySetting = new Map();
        rows.filter((row) => score(row, measure) && inHeat(row)).forEach((row) => {
          const cells = bySetting.get(settingOf(row)) ?? new Map(), at = JSON.stringify([row.labels.allocation, row.labels.alpha]);
          bySetting.set(settingOf(row), cells.set(at, [...(cells.get(at) ?? []), score(row, measure)[0]]));
        });
        const chosen = setting || [...bySetting].reduce((best, each) => (each[1].size > (best?.[1].size ?? 0) ? each : best), null)?.[0];
        const found = [...(bySetting.get(chosen) ?? [])].map(([at, v]) => ({ allocation: JSON.parse(at)[0], alpha: JSON.parse(at)[1], value: mean(v), shown: number(mean(v)), n: v.length }));
        const low = Math.min(...found.map((c) => c.value)), high = Math.max(...found.map((c) => c.value));
        return Object.assign(found.map((c) => ({ ...c, dark: high > low && (c.value - low) / (high - low) > 0.55 })), { setting: chosen });
      }, note: (found, { measure }) => [titled(measure), ...(found.setting ? [found.setting] : [])].join("; "), texts: ({ measure }) => ({ measure: titled(measure) }) },
    { id: "tradeoff", title: "Recall against erasability", choices: { y: asOptions(recall), x: asOptions(erase) }, start: { y: first(recall, "docqa/f1", "counterfact/truth_preference_rewrite", "doccloze/truth_preference", "docmem/exact_match", "docmem/nll"), x: first(erase, "location/specificity", "location/erasure_own") }, needs: "rows with both measures", note: () => "dashed: the Pareto front",
      rows: (rows, { x, y }) => {
        const found = rows.filter((row) => score(row, x) && score(row, y)).map((row) => { const a = score(row, x), b = score(row, y); return { series: row.name, kind: kind(row), x: a[0], xlow: a[1] ?? a[0], xhigh: a[2] ?? a[0], y: b[0], ylow: b[1] ?? b[0], yhigh: b[2] ?? b[0] }; });
        const sx = measures[x].better === "lower" ? -1 : 1, sy = measures[y].better === "lower" ? -1 : 1;
        return found.map((p) => ({ ...p, front: !found.some((q) => sx * q.x >= sx * p.x && sy * q.y >= sy * p.y && (q.x !== p.x || q.y !== p.y)) }));
      }, texts: ({ x, y }) => ({ x: titled(x) + (arrow[measures[x].better] ?? ""), y: titled(y) + (arrow[measures[y].better] ?? "") }) },
    { id: "depth", title: "Measures against layer depth", choices: { measure: asOptions(every) }, start: { measure: first(every, "docmem/nll") }, needs: "runs that know their model's number of blocks", rows: alongX(depth, ["layer"]), note: alone("layer"), texts: ({ measure }) => ({ measure: titled(measure), x: "depth of the memory's block (share of all blocks)" }) },
    { id: "documents", title: "Measures against number of documents", choices: { measure: asOptions(every) }, start: { measure: first(every, "docmem/nll") }, needs: "rows with a number of documents", rows: alongX((row) => row.labels.documents, ["documents", "clusters"]), note: alone("number of documents"), texts: ({ measure }) => ({ measure: titled(measure) }) },
    { id: "overlap", title: "Overlap of entries against similarity", choices: {}, start: {}, needs: "simset or random allocations whose documents are at hand", note: () => "dashed: due by J + (1 − J) k / M; a point a band of similarity",
      rows: (rows) => { const seen = new Set(rows.map((row) => `${row.kind}|${row.labels.documents ?? ""}`)); return data.overlaps.filter((o) => seen.has(`${o.allocation}|${o.documents ?? ""}`)).flatMap((o) => o.bands.map((b) => ({ series: o.series, kind: o.allocation, jaccard: b.jaccard, overlap: b.overlap, due: b.overlap_due ?? null, pairs: b.pairs }))); }, texts: () => ({}) },
    { id: "curves", title: "Training curves", choices: {}, start: {}, needs: "runs with a record of their training",
      rows: (rows) => rows.slice(0, 60).flatMap((row) => row.runs.slice(0, 1).flatMap((n) => data.runs[n].curve.map(([epoch, value]) => ({ series: row.name, kind: kind(row), epoch, value })))), texts: () => ({}), note: () => "one run a row, at most 60 rows" },
    ...(kept.length ? [{ id: "retention", title: "What is left of the first stage", choices: { measure: asOptions(kept) }, start: { measure: first(kept, "people/bits_paraphrase", "docmem/nll") }, needs: "runs that were continued, and asked this measure", note: () => "scores on the documents of the first stage, one standard error over documents to either side",
      rows: (rows, { measure }) => { const shown = new Set(rows.map((row) => data.rows.indexOf(row))); return data.retention.filter((p) => p.measure === measure && shown.has(p.row)).map(({ series, later, value, low, high }) => ({ series, later, value, low, high })); }, texts: ({ measure }) => ({ measure: titled(measure) }) }] : []),
  ];
  const replaced = (spec, texts) => JSON.parse(JSON.stringify(spec), (key_, value) => (typeof value === "string" && value.startsWith("@") && value.slice(1) in texts ? texts[value.slice(1)] : value));
  const theme = () => {
    const ink = dark.matches ? "#dbe3ea" : "#2a3642", line = dark.matches ? "#3a4550" : "#dde3e9";
    return { background: null, font: "system-ui, sans-serif", view: { stroke: null }, axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, labelFlush: false, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: 140, titleLimit: 400 }, legend: { labelColor: ink, titleColor: ink }, title: { color: ink, subtitleColor: ink, anchor: "start", fontSize: 14 } };
  };
  const save = (name, type, text) => { const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name }); link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 60_000); };
  /** A plot that stands alone: below its title and what it is of, on a ground of its own. Made at once, since a browser
      lets a page save a file only within seconds of a click. */
  function wholeSvg(shown, title, said) {
    const made = (name, props, text = "") => { const node = document.createElementNS("http://www.w3.org/2000/svg", name); Object.entries(props).forEach(([key, value]) => node.setAttribute(key, value)); node.textContent = text; return node; };
    const svg = shown.cloneNode(true), width = shown.width.baseVal.value, height = shown.height.baseVal.value, lines = said.split("; "), top = 34 + 15 * lines.length;
    const ink = { x: 8, fill: dark.matches ? "#dbe3ea" : "#2a3642", "font-family": "system-ui, sans-serif" };
    svg.setAttribute("height", height + top);
    svg.setAttribute("viewBox", `0 ${-top} ${width} ${height + top}`);
    svg.prepend(made("rect", { x: 0, y: -top, width, height: height + top, fill: dark.matches ? "#1a2129" : "#ffffff" }), made("text", { ...ink, y: 20 - top, "font-size": 14, "font-weight": 600 }, title),
      ...lines.map((text, i) => made("text", { ...ink, y: 38 - top + 15 * i, "font-size": 11 }, text)));
    return new XMLSerializer().serializeToString(svg);
  }
  const csv = (rows) => {
    const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "line" && name !== "dark" && name !== "shown");
    // A text that begins as a formula does would be run by a spreadsheet.
    const cell = (v) => { const text = v === null || v === undefined ? "" : typeof v === "string" && /^[=+\-@\t\r]/.test(v) ? `'${v}` : String(v); return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
    return [names.join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\n") + "\n";
  };
  function fitAlong(plot, spec, found, unit) {
    spec.layer[0].encoding.detail = { field: "line", type: "nominal" };
    // A bare base beside memories would press them all onto one line.
    const lows = found.map((r) => r.low), isLog = unit !== "share" && Math.min(...lows) > 0 && Math.max(...found.map((r) => r.value)) > 8 * Math.min(...lows);
    for (const { encoding } of spec.layer) {
      if (plot.id === "documents") encoding.x.axis.values = [...new Set(found.map((r) => r.x))].sort((a, b) => a - b);
      if (isLog) { encoding.y.scale = { type: "log", nice: false, padding: 12 }; encoding.y.axis = { tickCount: 5 }; encoding.y.title += " (log scale)"; }
    }
  }
  const drawn = {};
  async function drawPlot(plot, rows) {
    const part = drawn[plot.id], found = Object.values(part.chosen).includes(undefined) ? [] : plot.rows(rows, part.chosen);
    part.rows = found;
    part.buttons.forEach((button) => { button.disabled = true; });
    const said = found.length ? plot.note?.(found, part.chosen) : "";
    part.foot.textContent = `n = ${found.length} ${plot.id === "curves" || plot.id === "retention" ? "points" : plot.id === "heat" ? "cells" : plot.id === "overlap" ? "bands" : "rows"}${said ? `; ${said}` : ""}`;
    const ticket = (part.ticket = (part.ticket ?? 0) + 1);
    if (!found.length) { part.view.replaceChildren(el("p", { class: "empty" }, `Nothing to draw: needs ${plot.needs}.`)); part.vega = null; return; }
    const spec = replaced(charts[plot.id], plot.texts(part.chosen));
    if (plot.id === "depth" || plot.id === "documents") fitAlong(plot, spec, found, measures[part.chosen.measure].unit);
    if (plot.id === "retention") for (const { encoding } of spec.layer) encoding.x.axis.values = [...new Set(found.map((p) => p.later))].sort((a, b) => a - b);
    spec.description = `${plot.title}. ${part.foot.textContent}. The figures are in the CSV download.`;
    spec.datasets = { rows: found };
    const box = el("div");
    box.style.width = "100%";
    part.view.replaceChildren(box);
    const result = await vegaEmbed(box, spec, { actions: false, renderer: "svg", config: theme(), tooltip: { theme: dark.matches ? "dark" : "light" } });
    if (part.ticket !== ticket) { result.finalize(); return; }
    part.vega?.finalize(); part.vega = result;
    part.buttons.forEach((button) => { button.disabled = false; });
    const svg = box.querySelector("svg");
    if (svg) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", spec.description); [...svg.querySelectorAll("[role],[aria-label],[aria-roledescription]")].forEach((node) => ["role", "aria-label", "aria-roledescription"].forEach((name) => node.removeAttribute(name))); }
  }
  function makePlots() {
    for (const plot of PLOTS) {
      const part = (drawn[plot.id] = { chosen: { ...plot.start }, view: el("div", { class: "view" }), foot: el("p"), rows: [], buttons: [] });
      const choose = el("div", { class: "choose" }, ...Object.entries(plot.choices).filter(([name, options]) => options.length > (name === "setting" ? 2 : 1)).map(([name, options]) => {
        const select = el("select", {}, ...options.map(([m, text]) => el("option", { value: String(m), selected: m === part.chosen[name] }, text)));
        select.addEventListener("change", () => { part.chosen[name] = options[select.selectedIndex][0]; drawPlot(plot, visible()); });
        return el("label", {}, name === "x" ? "across" : name === "y" ? "up" : name, select);
      }));
      const svg = el("button", { type: "button", "aria-label": `Download ${plot.title} as SVG` }, "SVG"), table = el("button", { type: "button", "aria-label": `Download ${plot.title} as CSV` }, "CSV");
      svg.addEventListener("click", () => save(`${plot.id}.svg`, "image/svg+xml", wholeSvg(part.view.querySelector("svg"), plot.title, part.foot.textContent)));
      table.addEventListener("click", () => save(`${plot.id}.csv`, "text/csv", csv(part.rows)));
      part.buttons.push(svg, table);
      $("plots").append(el("section", { class: "plot", id: `plot-${plot.id}`, "aria-labelledby": `title-${plot.id}` }, el("h3", { id: `title-${plot.id}` }, plot.title), choose, part.view, el("div", { class: "foot" }, part.foot, svg, table)));
    }
    const present = [...new Set(data.rows.map(kind))].sort();
    $("legend").append(...present.map((name) => { const dot = el("i", { class: "dot" }); dot.style.background = colours[name] ?? "#888"; return el("span", {}, dot, name); }));
  }
  const drawPlots = async () => { const rows = visible(); for (const plot of PLOTS) await drawPlot(plot, rows); };

  // The detail of a row: its runs, one at a time, with configuration, curve, scores and samples.
  const pairs = (object) => el("dl", {}, ...Object.entries(object).map(([name, value]) => el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, label(value)))));
  function samplesTable(task) {
    // A column that no sample has a text for would only take room.
    const texts = ["sample", "prompt", "target", "answer"], kept = texts.map((name, i) => !i || task.samples.some((sample) => data.texts[sample[i]]));
    const heads = [...texts.filter((name, i) => kept[i]), ...task.measures];
    return el("div", { class: "scroll samples", tabindex: "0", role: "region", "aria-label": `samples of ${task.task}` }, el("table", {}, el("caption", {}, task.samples.length < task.of ? `the first ${task.samples.length} of ${task.of} samples; simset-bench show RUN lists all` : `all ${task.of} samples`),
      el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...task.samples.map((sample) => el("tr", {}, ...sample.map((value, i) => (i >= 4 ? el("td", { class: "number" }, number(value)) : kept[i] ? el("td", { class: i ? "long" : "" }, data.texts[value]) : null)).filter(Boolean))))));
  }
  function runDetail(run) {
    const parts = [el("h3", {}, "Configuration"), pairs({ folder: run.folder, ...run.config, ...run.facts }), el("details", {}, el("summary", {}, "Versions and hashes"), pairs({ ...run.versions, ...run.hashes }))];
    parts.push(el("h3", {}, "Samples"));
    if (!run.tasks.length) { parts.push(el("p", { class: "hint" }, "Not evaluated.")); return parts; }
    const place = el("div"), select = el("select", {}, ...run.tasks.map((task, i) => el("option", { value: String(i) }, task.task)));
    const show = () => place.replaceChildren(samplesTable(run.tasks[Number(select.value)]));
    select.addEventListener("change", show);
    show();
    return [...parts, el("label", {}, "Task ", select), place];
  }
  const scoresTable = (row, scores, name) => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, el("table", {}, el("thead", {}, el("tr", {}, ...["measure", "value", "95% interval", `sd over ${data.averaged}`, "rank among all rows"].map((head_, i) => el("th", { scope: "col", class: i ? "" : "text" }, head_)))),
    el("tbody", {}, ...scores.map(([m, s]) => el("tr", {}, el("td", { class: "text" }, titled(m) + (arrow[measures[m].better] ?? "") + byChance(m)), el("td", {}, number(s[0])), el("td", {}, s[1] === null ? "–" : `${number(s[1])} to ${number(s[2])}`), el("td", {}, number(s[3])), el("td", {}, row.ranks[m] ? `${row.ranks[m][0]} (${row.ranks[m][1]}–${row.ranks[m][2]})` : "–"))))));
  function openDetail(row) {
    const body = $("detail-body"), place = el("div"), curve = el("div", { class: "view" });
    const runs = row.runs.map((n) => data.runs[n]);
    const select = el("select", {}, ...runs.map((run, i) => el("option", { value: String(i) }, `mem_seed ${label(run.config.mem_seed)}, seed ${label(run.config.seed)}`)));
    select.addEventListener("change", () => place.replaceChildren(...runDetail(runs[Number(select.value)])));
    place.replaceChildren(...runDetail(runs[0]));
    const known = Object.entries(row.scores).filter(([m]) => measures[m].headline), rest = Object.entries(row.scores).filter(([m]) => !measures[m].headline);
    const scores = el("div", {}, scoresTable(row, known, "best known scores"), ...(rest.length ? [el("details", {}, el("summary", {}, `${rest.length} more measures`), scoresTable(row, rest, "more scores"))] : []));
    $("detail-title").textContent = row.name;
    const points = runs.flatMap((run, i) => run.curve.map(([epoch, value]) => ({ series: `run ${i + 1}`, kind: kind(row), epoch, value })));
    body.replaceChildren(el("h3", {}, "Scores"), scores, ...(points.length ? [el("h3", {}, `Training: cross-entropy by epoch, n = ${runs.length} runs`), curve] : []), ...(runs.length > 1 ? [el("p", {}, el("label", {}, "Run ", select))] : []), place);
    if (!$("detail").open) $("detail").showModal();
    $("detail").scrollTop = 0;
    if (points.length) { const spec = { ...charts.curves, height: 170, datasets: { rows: points } }; vegaEmbed(curve, spec, { actions: false, renderer: "svg", config: theme() }).then(() => { const svg = curve.querySelector("svg"); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", `training curves of ${row.name}`); [...svg.querySelectorAll("[role],[aria-label],[aria-roledescription]")].forEach((node) => ["role", "aria-label", "aria-roledescription"].forEach((name) => node.removeAttribute(name))); }); }
  }
  const fromAddress = () => { const found = /^#row-(\d+)$/.exec(location.hash); const row = found && data.rows[Number(found[1])]; if (row) openDetail(row); else if ($("detail").open) $("detail").close(); };
  $("close").addEventListener("click", () => $("detail").close());
  $("detail").addEventListener("close", () => { if (location.hash.startsWith("#row-")) history.replaceState(null, "", location.pathname + location.search); });
  addEventListener("hashchange", fromAddress);

  const draw = () => {
    const rows = visible();
    $("left").textContent = rows.length === data.rows.length ? `all ${rows.length} rows` : `${rows.length} of ${data.rows.length} rows: ${Object.entries(state.filter).map(([name, chosen]) => `${name} ${[...chosen].join(" or ")}`).join(", ")}`;
    drawTable();
    return drawPlots();
  };
  $("reset").addEventListener("click", () => { state.filter = {}; drawFilters(); draw(); });
  $("sentences").append(...[...data.sentences, ...(data.more_sentences ? [`and ${data.more_sentences} pairs of neighbours more`] : []), ...data.remarks].map((text) => el("li", {}, text)));
  if (data.left_out.length) { $("left-out").hidden = false; $("left-out").querySelector("summary").textContent = `${data.left_out.length} left out, with the reason`; $("left-out").querySelector("ul").append(...data.left_out.map((left) => el("li", {}, `${left.path}: ${left.reason}`))); }
  $("counts").textContent = `${data.rows.length} rows, ${data.runs.length} runs; ${measures.length} measures`;
  drawFilters(); makePlots();
  dark.addEventListener("change", drawPlots);
  await draw();
  fromAddress();
  document.body.dataset.ready = "yes";
})();
