// Texts of values, and the forms that a table is copied in.

/** A figure as columns.number_text writes it in Python: three decimals, fewer for large ones, 0 for nothing but 0. */
function numberText(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size && (size < 0.001 || size >= 1e5)) return halfToEven(value, "toExponential", 1).replace("e+", "e");
  return halfToEven(value, "toFixed", size < 10 ? 3 : size < 1000 ? 1 : 0);
}

/** Python rounds an exact half to the even digit, JavaScript away from 0. */
function halfToEven(value, form, digits) {
  const [long, power] = value[form](digits + 25).split("e");
  const kept = long.slice(0, -25).replace(/\.$/, ""),
    rest = long.slice(-25);
  const isTieOnEven = /^50*$/.test(rest) && /[02468]$/.test(kept);
  return isTieOnEven ? kept + (power === undefined ? "" : `e${power}`) : value[form](digits);
}

/** A setting as a table shows it; of numbers that are not whole, six digits. */
function labelText(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const [digits, power] = value.toExponential(5).split("e");
  if (power >= -4 && power < 6) return String(Number(value.toPrecision(6)));
  return `${Number(digits)}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

/** A text on one line: what controls a terminal or turns the direction of other text becomes U+FFFD. */
const printable = (text) => text.replace(/[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]/gu, "\ufffd");

/** As render.escaped in Python: Markdown shows the text as it is. */
function markdownEscaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  return printable(text)
    .replace(/[\\`*_[\]|~@$]/g, "\\$&")
    .replace(/[&<>]/g, (mark) => entities[mark])
    .replaceAll("://", ":\\/\\/")
    .replace(/(?<![\p{L}\p{N}_])(www)\./giu, "$1\\.");
}

/** A table as render.markdown in Python writes it, with what ± is below it. */
function markdownTable({ heads, rows, notes }) {
  const line = (cells) => `| ${cells.map(markdownEscaped).join(" | ")} |`;
  const rule = `| ${heads.map(() => "---").join(" | ")} |`;
  const said = notes.length ? ["", ...notes.map((note) => `- ${markdownEscaped(note)}`)] : [];
  return [line(heads), rule, ...rows.map(line), ...said, ""].join("\n");
}

const LATEX = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  $: "\\$",
  "&": "\\&",
  "#": "\\#",
  "%": "\\%",
  _: "\\_",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "|": "\\textbar{}",
  "<": "\\textless{}",
  ">": "\\textgreater{}",
  "`": "\\textasciigrave{}",
  "[": "{[}",
  "]": "{]}",
  "-": "-{}",
  "±": "$\\pm$",
  "–": "--",
  "−": "$-$",
  "↑": "$\\uparrow$",
  "↓": "$\\downarrow$",
  "…": "\\ldots{}",
};
/** LaTeX sets the text as it is; two hyphens, or a bracket behind a line's end, would mean something else. */
function latexEscaped(text) {
  return printable(text).replace(/-(?=-)|[\\{}$&#%_~^|<>`[\]±–−↑↓…]/g, (mark) => LATEX[mark]);
}

/** A tabular by booktabs; columns of numbers are set to the right. */
function latexTable({ heads, rows, notes, numeric }) {
  const line = (cells) => `${cells.map(latexEscaped).join(" & ")} \\\\`;
  return [
    "% needs \\usepackage{booktabs}",
    ...notes.map((note) => `% ${printable(note)}`),
    `\\begin{tabular}{${numeric.map((isNumber) => (isNumber ? "r" : "l")).join("")}}`,
    "\\toprule",
    line(heads),
    "\\midrule",
    ...rows.map(line),
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
}

function csv(rows) {
  const names = Object.keys(rows[0] ?? {}).filter((name) => !["line", "dark", "shown"].includes(name));
  const cell = (value) => {
    // A text that begins as a formula does would be run by a spreadsheet.
    const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(value);
    const text = isFormula ? `'${value}` : String(value ?? "");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((line) => `${line.map(cell).join(",")}\n`).join("");
}

/** A word of a shell's command that is one word whatever is in it. */
function shellWord(text) {
  const word = text.startsWith("-") ? `./${text}` : text;
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
