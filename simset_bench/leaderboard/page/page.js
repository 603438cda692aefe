// What the page shows and what a user does to it: one state, kept in the address, from which everything is drawn.

async function startPage() {
  const bytes = (id) => Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes("data")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { charts, colours } = JSON.parse(new TextDecoder().decode(bytes("charts")));
  const board = Object.assign(makeBoard(await new Response(unpacked).json()), { colours });
  const picked = [];
  const table = makeTable(board, { isPicked: (row) => picked.includes(row), pick });
  const drawing = makeDrawing(board, charts);
  let { state, unknown } = fromAddress(board, location.hash);
  let drawn = null;

  /** Draw the table and the plots, unless they show what the state says already. */
  function draw() {
    const wanted = toAddress(board, { ...state, row: null, compared: [] });
    if (wanted === drawn) return null;
    drawn = wanted;
    return drawing.drawAll(table.draw(state));
  }

  /** After a change by the user: the address follows, as a step that the browser's back takes back. */
  function changed() {
    const address = toAddress(board, state);
    if (address !== toAddress(board, fromAddress(board, location.hash).state)) {
      history.pushState(null, "", address ? `#${address}` : location.pathname + location.search);
    }
    draw();
  }

  /** After the address has changed: show what it says. */
  function restore() {
    ({ state, unknown } = fromAddress(board, location.hash));
    drawFilters();
    drawGroups();
    drawDialogs();
    if (unknown.length) announce(`Not on this board, and left out: ${unknown.join("; ").slice(0, 300)}`);
    return draw();
  }

  function drawDialogs() {
    if (state.row) showDetail(board, state.row, charts);
    else $("detail").close();
    if (state.compared.length) showComparison(board, state.compared);
    else $("comparison").close();
  }

  function drawFilters() {
    const parts = board.data.filters.filter(board.varied).map((name) => {
      const chips = board.values(name).map((text) =>
        chip(
          text === "–" ? `no ${name}` : text,
          Boolean(state.filter[name]?.has(text)),
          (on) => {
            const chosen = (state.filter[name] ??= new Set());
            if (on) chosen.add(text);
            else chosen.delete(text);
            if (!chosen.size) delete state.filter[name];
            changed();
          },
          name === "allocation" ? colours[text] : undefined,
        ),
      );
      return el("fieldset", {}, el("legend", {}, name), ...chips);
    });
    $("filters").replaceChildren(
      ...(parts.length ? parts : ["All rows agree in everything that could be filtered by."]),
    );
  }

  function drawGroups() {
    const chips = board.groups.map((group) =>
      chip(group, state.groups.has(group), (on) => {
        state.groups[on ? "add" : "delete"](group);
        changed();
      }),
    );
    const every = chip("every measure", state.every, (on) => {
      state.every = on;
      changed();
    });
    $("groups").replaceChildren(
      el("legend", {}, "Columns"),
      ...chips,
      every,
      button("choose…", chooseColumns, { "aria-haspopup": "dialog" }),
    );
  }

  function chooseColumns() {
    const box = (column) => {
      const input = el("input", {
        type: "checkbox",
        checked: board.isShown(state, column),
        disabled: column === board.columns[0],
      });
      input.addEventListener("change", () => showColumn(column, input.checked));
      const same =
        column.measure !== undefined && !board.measures[column.measure].differs
          ? el("small", {}, " the same in every row")
          : null;
      return el("label", {}, input, el("span", {}, column.measure === undefined ? column.head : column.title, same));
    };
    const part = (name, columns) => el("fieldset", { class: "choice" }, el("legend", {}, name), ...columns.map(box));
    const ofGroup = (group) => board.columns.filter((column) => column.group === group);
    $("chooser-body").replaceChildren(
      part("settings", ofGroup(undefined)),
      ...board.groups.map((group) => part(group, ofGroup(group))),
    );
    openDialog("chooser");
  }

  function showColumn(column, on) {
    state.show.delete(column.id);
    state.hide.delete(column.id);
    if (board.isShown(state, column) !== on) state[on ? "show" : "hide"].add(column.id);
    changed();
  }

  function sortBy(id) {
    const column = board.columns.find((each) => each.id === id);
    state.descending = state.sort === id ? !state.descending : board.isHigherBetter(column.measure);
    state.sort = id;
    if (column.measure !== undefined && board.isRanked(column.measure)) state.ranked = column.measure;
    changed();
  }

  /** Take a row for a comparison, of the last two that were taken. */
  function pick(row, box) {
    if (!box.checked) picked.splice(picked.indexOf(row), 1);
    else if (picked.push(row) > 2) {
      const dropped = picked.shift();
      const old = [...document.querySelectorAll("#table .pick")].find(
        (each) => each.getAttribute("aria-label") === `compare ${dropped.address}`,
      );
      if (old) old.checked = false;
    }
    $("compare").textContent = `Compare (${picked.length} of 2)`;
    if (picked.length === 2) announce("Two rows are chosen: press Compare to see them side by side");
  }

  function compare() {
    if (picked.length < 2) {
      announce("Tick the boxes of two rows first, beside their ranks");
      return;
    }
    state.compared = [...picked];
    changed();
    drawDialogs();
  }

  function copyTable(form, name) {
    const shown = tableOf(board, state);
    return copy(form(shown), `${shown.rows.length} rows and ${shown.heads.length} columns as ${name}`);
  }

  function whenClosed() {
    document.body.append($("message"));
    if (!$("detail").open) state.row = null;
    if (!$("comparison").open) state.compared = [];
    changed();
  }

  /** Arrows move between rows, from a name to a name and from a box to a box. */
  function moveInTable(event) {
    const row = event.target.closest("#table tbody tr"),
      rows = row?.parentElement.children;
    const to =
      row &&
      {
        ArrowDown: row.nextElementSibling,
        ArrowUp: row.previousElementSibling,
        Home: rows[0],
        End: rows[rows.length - 1],
      }[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    to.querySelector(event.target.matches(".pick") ? ".pick" : "a.open").focus();
  }

  addEventListener("hashchange", restore);
  addEventListener("keydown", (event) => {
    const isTyping =
      event.target instanceof Element && event.target.matches("textarea, select, input:not([type=checkbox])");
    if (event.key === "?" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      openDialog("help");
    }
  });
  $("table").addEventListener("keydown", moveInTable);
  $("table").addEventListener("click", (event) => {
    const head = event.target.closest("thead button");
    if (head) sortBy(head.dataset.sort);
  });
  document.querySelectorAll("dialog").forEach((dialog) => {
    dialog.querySelector("button.close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", whenClosed);
  });
  const act = (id, action) => $(id).addEventListener("click", action);
  act("reset", () => {
    state.filter = {};
    drawFilters();
    changed();
  });
  act("compare", compare);
  act("copy-link", () => copy(location.href, "the link to what is shown"));
  act("copy-markdown", () => copyTable(markdownTable, "Markdown"));
  act("copy-latex", () => copyTable(latexTable, "LaTeX"));
  act("keys", () => openDialog("help"));
  act("default-columns", () => {
    const { groups, every, show, hide } = board.startState();
    Object.assign(state, { groups, every, show, hide });
    drawGroups();
    chooseColumns();
    changed();
  });
  // As a jump it would take the place of what the address says.
  document.querySelector("a.skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("board").focus();
  });

  sayWhatIsKnown(board);
  dark.addEventListener("change", () => {
    drawn = null;
    draw();
  });
  await restore();
  document.body.dataset.ready = "yes";
}

function sayWhatIsKnown({ data, rows, runs, measures }) {
  $("counts").textContent = `${rows.length} rows, ${runs.length} runs; ${measures.length} measures`;
  const more = data.more_sentences ? [`and ${data.more_sentences} pairs of neighbours more`] : [];
  $("sentences").append(...[...data.sentences, ...more, ...data.remarks].map((text) => el("li", {}, text)));
  if (!data.left_out.length) return;
  $("left-out").hidden = false;
  $("left-out").querySelector("summary").textContent = `${data.left_out.length} left out, with the reason`;
  $("left-out")
    .querySelector("ul")
    .append(...data.left_out.map((left) => el("li", {}, `${left.path}: ${left.reason}`)));
}

startPage();
