// What each plot draws of the rows that the filters leave: its choices, its points, and what it says of them.

function makePlots(board) {
  const { data, measures, rows: allRows } = board;
  const withMeasure = (accept) =>
    [...measures.keys()].filter((m) => accept(measures[m]) && allRows.some((row) => row.scores[m]));
  const firstOf = (found, ...names) =>
    names.map((name) => found.find((m) => measures[m].name === name)).find((m) => m !== undefined) ?? found[0];
  const asOptions = (found) => found.map((m) => [m, measures[m].name]);
  const judged = withMeasure((measure) => measure.better);
  const recall = withMeasure(
    (measure) => measure.better && (measure.group === "recall" || measure.group === "memorisation"),
  );
  const erasure = withMeasure((measure) => measure.better && measure.group === "location");
  const kept = judged.filter((m) => data.retention.some((point) => point.measure === m));
  const ofMeasure = (m) => ({
    choices: { measure: asOptions(judged) },
    start: { measure: firstOf(judged, m) },
    texts: ({ measure }) => ({ measure: titled(measures[measure]) }),
  });
  const ends = (score) => ({ value: score[0], low: score[1] ?? score[0], high: score[2] ?? score[0] });

  function depth(row) {
    const { blocks } = data.runs[row.runs[0]];
    return isMissing(row.labels.layer) || !blocks ? null : row.labels.layer / blocks;
  }
  /** Rows that are alike in all but `own` settings make a line; one of a single place says nothing about x. */
  const alongX =
    (x, own) =>
    (rows, { measure }) => {
      const names = Object.keys(data.columns).filter((name) => !own.includes(name));
      const line = (row) => JSON.stringify([row.kind, ...names.map((name) => row.labels[name])]);
      const found = rows
        .map((row) => ({ row, x: x(row), score: row.scores[measure], line: line(row) }))
        .filter((point) => point.score && !isMissing(point.x));
      const places = new Map();
      for (const point of found) places.set(point.line, (places.get(point.line) ?? new Set()).add(point.x));
      const several = found.filter((point) => places.get(point.line).size > 1);
      const points = (several.length ? several : found).map(({ row, x: at, score, line: of }) => ({
        series: row.name,
        line: of,
        kind: row.kindText,
        x: at,
        ...ends(score),
      }));
      return Object.assign(points, { leftOut: found.length - points.length });
    };
  const leftOut = (what) => (found) =>
    found.leftOut ? `${found.leftOut} rows that have no like at another ${what} are left out` : "";

  // A heat map is of one setting at a time: a mean over several would compare cells of different layers or documents.
  const others = Object.keys(data.columns).filter(
    (name) => !["allocation", "alpha"].includes(name) && board.varied(name),
  );
  const settingOf = (row) =>
    others
      .map((name) =>
        name === "documents" ? `${labelText(row.labels[name])} documents` : `${name} ${labelText(row.labels[name])}`,
      )
      .join(", ");
  const inHeat = (row) => row.kind === row.labels.allocation && typeof row.labels.alpha === "number";
  const settings = [...new Set(allRows.filter(inHeat).map(settingOf))].sort(compareValues);
  function heatCells(rows, { measure, setting }) {
    const bySetting = new Map();
    for (const row of rows.filter((each) => each.scores[measure] && inHeat(each))) {
      const cells = bySetting.get(settingOf(row)) ?? new Map();
      const at = JSON.stringify([row.labels.allocation, row.labels.alpha]);
      bySetting.set(settingOf(row), cells.set(at, [...(cells.get(at) ?? []), row.scores[measure][0]]));
    }
    const largest = [...bySetting].reduce((best, each) => (each[1].size > (best?.[1].size ?? 0) ? each : best), null);
    const chosen = setting || largest?.[0];
    const cells = [...(bySetting.get(chosen) ?? [])].map(([at, values]) => {
      const [allocation, alpha] = JSON.parse(at),
        value = values.reduce((a, b) => a + b, 0) / values.length;
      return { allocation, alpha, value, shown: numberText(value), n: values.length };
    });
    const all = cells.map((cell) => cell.value),
      low = Math.min(...all),
      high = Math.max(...all);
    const coloured = cells.map((cell) => ({ ...cell, dark: high > low && (cell.value - low) / (high - low) > 0.55 }));
    return Object.assign(coloured, { setting: chosen });
  }

  function tradeOff(rows, { x, y }) {
    const points = rows
      .filter((row) => row.scores[x] && row.scores[y])
      .map((row) => {
        const across = ends(row.scores[x]),
          up = ends(row.scores[y]);
        return {
          series: row.name,
          kind: row.kindText,
          x: across.value,
          xlow: across.low,
          xhigh: across.high,
          y: up.value,
          ylow: up.low,
          yhigh: up.high,
        };
      });
    // From the best on x down, a point is on the Pareto front if no earlier one is as good on y.
    const sign = (m) => (measures[m].better === "lower" ? -1 : 1),
      sx = sign(x),
      sy = sign(y);
    const order = [...points].sort((a, b) => sx * (b.x - a.x) || sy * (b.y - a.y));
    const front = new Set();
    let best = null;
    for (const point of order) {
      const isTwin = best && point.x === best.x && point.y === best.y;
      if (!best || isTwin || sy * point.y > sy * best.y) {
        front.add(point);
        best = point;
      }
    }
    return points.map((point) => ({ ...point, front: front.has(point) }));
  }

  function overlaps(rows) {
    const seen = new Set(rows.map((row) => `${row.kind}|${row.labels.documents ?? ""}`));
    return data.overlaps
      .filter((each) => seen.has(`${each.allocation}|${each.documents ?? ""}`))
      .flatMap((each) =>
        each.bands.map((band) => ({
          series: each.series,
          kind: each.allocation,
          jaccard: band.jaccard,
          overlap: band.overlap,
          due: band.overlap_due ?? null,
          pairs: band.pairs,
        })),
      );
  }
  const curves = (rows) => rows.slice(0, 60).flatMap((row) => curvePoints(data.runs[row.runs[0]], row.name, row));
  function retention(rows, { measure }) {
    const shown = new Set(rows.map((row) => row.number));
    return data.retention
      .filter((point) => point.measure === measure && shown.has(point.row))
      .map(({ series, later, value, low, high }) => ({ series, later, value, low, high }));
  }

  return [
    {
      ...ofMeasure("docmem/nll"),
      id: "heat",
      title: "Alpha by allocation",
      counts: "cells",
      rows: heatCells,
      choices: {
        measure: asOptions(judged),
        setting: [["", "the one with most cells"], ...settings.map((text) => [text, text])],
      },
      start: { measure: firstOf(judged, "docmem/nll"), setting: "" },
      needs: "evaluated rows with an allocation and an alpha, at this setting",
      note: (found, { measure }) => [titled(measures[measure]), ...(found.setting ? [found.setting] : [])].join("; "),
    },
    {
      id: "tradeoff",
      title: "Recall against erasability",
      counts: "rows",
      rows: tradeOff,
      choices: { y: asOptions(recall), x: asOptions(erasure) },
      start: {
        y: firstOf(
          recall,
          "docqa/f1",
          "counterfact/truth_preference_rewrite",
          "doccloze/truth_preference",
          "docmem/exact_match",
          "docmem/nll",
        ),
        x: firstOf(erasure, "location/specificity", "location/erasure_own"),
      },
      needs: "rows with both measures",
      note: () => "dashed: the Pareto front",
      texts: ({ x, y }) => ({
        x: titled(measures[x]) + arrow(measures[x]),
        y: titled(measures[y]) + arrow(measures[y]),
      }),
    },
    {
      ...ofMeasure("docmem/nll"),
      id: "depth",
      title: "Measures against layer depth",
      counts: "rows",
      rows: alongX(depth, ["layer"]),
      needs: "runs that know their model's number of blocks",
      note: leftOut("layer"),
      texts: ({ measure }) => ({
        measure: titled(measures[measure]),
        x: "depth of the memory's block (share of all blocks)",
      }),
    },
    {
      ...ofMeasure("docmem/nll"),
      id: "documents",
      title: "Measures against number of documents",
      counts: "rows",
      rows: alongX((row) => row.labels.documents, ["documents", "clusters"]),
      needs: "rows with a number of documents",
      note: leftOut("number of documents"),
    },
    {
      id: "overlap",
      title: "Overlap of entries against similarity",
      counts: "bands",
      rows: overlaps,
      choices: {},
      start: {},
      texts: () => ({}),
      needs: "simset or random allocations whose documents are at hand",
      note: () => "dashed: due by J + (1 − J) k / M; a point a band of similarity",
    },
    {
      id: "curves",
      title: "Training curves",
      counts: "points",
      rows: curves,
      choices: {},
      start: {},
      texts: () => ({}),
      needs: "runs with a record of their training",
      note: () => "one run a row, at most 60 rows",
    },
    ...(kept.length
      ? [
          {
            id: "retention",
            title: "What is left of the first stage",
            counts: "points",
            rows: retention,
            choices: { measure: asOptions(kept) },
            start: { measure: firstOf(kept, "people/bits_paraphrase", "docmem/nll") },
            needs: "runs that were continued, and asked this measure",
            texts: ({ measure }) => ({ measure: titled(measures[measure]) }),
            note: () => "scores on the documents of the first stage, one standard error over documents to either side",
          },
        ]
      : []),
  ];
}

const curvePoints = (run, series, row) =>
  run.curve.map(([epoch, value]) => ({ series, kind: row.kindText, epoch, value }));
