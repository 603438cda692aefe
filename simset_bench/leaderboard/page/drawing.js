// Plots on the page: drawn by Vega-Lite, with their choices, what they are of in words, and downloads.

function theme() {
  const ink = dark.matches ? "#dbe3ea" : "#2a3642",
    line = dark.matches ? "#3a4550" : "#dde3e9";
  const axis = {
    labelColor: ink,
    titleColor: ink,
    gridColor: line,
    domainColor: line,
    tickColor: line,
    labelFlush: false,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 500,
    labelLimit: 140,
    titleLimit: 400,
  };
  return {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis,
    legend: { labelColor: ink, titleColor: ink },
    title: { color: ink, subtitleColor: ink, anchor: "start", fontSize: 14 },
  };
}

/** Draw a specification of Vega-Lite into an element, as one image that screen readers know by `name`. */
async function drawChart(place, spec, name) {
  const tooltip = { theme: dark.matches ? "dark" : "light" };
  const result = await vegaEmbed(place, spec, { actions: false, renderer: "svg", config: theme(), tooltip });
  const svg = place.querySelector("svg"),
    inner = ["role", "aria-label", "aria-roledescription"];
  if (svg) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", name);
    svg
      .querySelectorAll("[role],[aria-label],[aria-roledescription]")
      .forEach((node) => inner.forEach((each) => node.removeAttribute(each)));
  }
  return result;
}

/** A plot that stands alone: below its title and what it is of, on a ground of its own. Made at once, since a browser
    lets a page save a file only within seconds of a click. */
function wholeSvg(shown, title, said) {
  const node = (name, props, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(props).forEach(([key, value]) => made.setAttribute(key, value));
    made.textContent = text;
    return made;
  };
  const svg = shown.cloneNode(true),
    width = shown.width.baseVal.value,
    height = shown.height.baseVal.value;
  const lines = said.split("; "),
    top = 34 + 15 * lines.length;
  const ink = { x: 8, fill: dark.matches ? "#dbe3ea" : "#2a3642", "font-family": "system-ui, sans-serif" };
  svg.setAttribute("height", height + top);
  svg.setAttribute("viewBox", `0 ${-top} ${width} ${height + top}`);
  svg.prepend(
    node("rect", { x: 0, y: -top, width, height: height + top, fill: dark.matches ? "#1a2129" : "#ffffff" }),
    node("text", { ...ink, y: 20 - top, "font-size": 14, "font-weight": 600 }, title),
    ...lines.map((text, i) => node("text", { ...ink, y: 38 - top + 15 * i, "font-size": 11 }, text)),
  );
  return new XMLSerializer().serializeToString(svg);
}

/** Axes that follow the points: ticks where there are values, and a log scale where one row is far above the others. */
function fitAxes(plot, spec, found, unit) {
  const ticks = (name) => [...new Set(found.map((point) => point[name]))].sort((a, b) => a - b);
  if (plot.id === "retention") for (const { encoding } of spec.layer) encoding.x.axis.values = ticks("later");
  if (plot.id !== "depth" && plot.id !== "documents") return;
  spec.layer[0].encoding.detail = { field: "line", type: "nominal" };
  // A bare base beside memories would press them all onto one line.
  const low = Math.min(...found.map((point) => point.low)),
    high = Math.max(...found.map((point) => point.value));
  const isLog = unit !== "share" && low > 0 && high > 8 * low;
  for (const { encoding } of spec.layer) {
    if (plot.id === "documents") encoding.x.axis.values = ticks("x");
    if (isLog) {
      encoding.y.scale = { type: "log", nice: false, padding: 12 };
      encoding.y.axis = { tickCount: 5 };
      encoding.y.title += " (log scale)";
    }
  }
}

function makeDrawing(board, charts) {
  const plots = makePlots(board),
    parts = new Map();
  let shown = [],
    round = 0;

  async function draw(plot) {
    const part = parts.get(plot),
      found = Object.values(part.chosen).includes(undefined) ? [] : plot.rows(shown, part.chosen);
    const ticket = (part.ticket = (part.ticket ?? 0) + 1),
      note = found.length ? plot.note?.(found, part.chosen) : "";
    part.rows = found;
    part.buttons.forEach((each) => {
      each.disabled = true;
    });
    part.foot.textContent = `n = ${found.length} ${plot.counts}${note ? `; ${note}` : ""}`;
    if (!found.length) {
      part.view.replaceChildren(el("p", { class: "empty" }, `Nothing to draw: needs ${plot.needs}.`));
      part.vega = null;
      return;
    }
    const texts = plot.texts(part.chosen);
    const filled = (key, value) =>
      typeof value === "string" && value[0] === "@" && value.slice(1) in texts ? texts[value.slice(1)] : value;
    const spec = JSON.parse(JSON.stringify(charts[plot.id]), filled);
    fitAxes(plot, spec, found, board.measures[part.chosen.measure]?.unit);
    spec.description = `${plot.title}. ${part.foot.textContent}. The figures are in the CSV download.`;
    spec.datasets = { rows: found };
    const box = el("div", { class: "box" });
    part.view.replaceChildren(box);
    const result = await drawChart(box, spec, spec.description);
    if (part.ticket !== ticket) {
      result.finalize();
      return;
    }
    part.vega?.finalize();
    part.vega = result;
    part.buttons.forEach((each) => {
      each.disabled = false;
    });
  }

  /** Draw every plot of `rows`, one after the other, so that the page answers in between; a later call takes over. */
  async function drawAll(rows) {
    const mine = (round += 1);
    shown = rows;
    for (const plot of plots) {
      await new Promise((resolve) => {
        setTimeout(resolve);
      });
      if (mine !== round) return;
      await draw(plot);
    }
  }

  for (const plot of plots) {
    const part = {
      chosen: { ...plot.start },
      view: el("div", { class: "view" }),
      foot: el("p"),
      rows: [],
      buttons: [],
    };
    // The first setting of a heat map is none: it needs two others for a choice.
    const several = Object.entries(plot.choices).filter(
      ([name, options]) => options.length > (name === "setting" ? 2 : 1),
    );
    const choose = el(
      "div",
      { class: "choose" },
      ...several.map(([name, options]) => {
        const select = el(
          "select",
          {},
          ...options.map(([value, text]) =>
            el("option", { value: String(value), selected: value === part.chosen[name] }, text),
          ),
        );
        select.addEventListener("change", () => {
          part.chosen[name] = options[select.selectedIndex][0];
          draw(plot);
        });
        return el("label", {}, { x: "across", y: "up" }[name] ?? name, select);
      }),
    );
    part.buttons = [
      button(
        "SVG",
        () =>
          save(
            `${plot.id}.svg`,
            "image/svg+xml",
            wholeSvg(part.view.querySelector("svg"), plot.title, part.foot.textContent),
          ),
        { "aria-label": `Download ${plot.title} as SVG` },
      ),
      button("CSV", () => save(`${plot.id}.csv`, "text/csv", csv(part.rows)), {
        "aria-label": `Download ${plot.title} as CSV`,
      }),
    ];
    parts.set(plot, part);
    $("plots").append(
      el(
        "section",
        { class: "plot", id: `plot-${plot.id}`, "aria-labelledby": `title-${plot.id}` },
        el("h3", { id: `title-${plot.id}` }, plot.title),
        choose,
        part.view,
        el("div", { class: "foot" }, part.foot, ...part.buttons),
      ),
    );
  }
  const kinds = [...new Set(board.rows.map((row) => row.kindText))].sort();
  $("legend").append(...kinds.map((name) => el("span", {}, dot(board.colours[name]), name)));
  return { drawAll };
}
