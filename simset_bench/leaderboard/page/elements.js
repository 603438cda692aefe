// What every part of the page makes elements and files with. Texts of runs become text nodes and attribute values:
// nothing on this page writes HTML.
const $ = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 700px)");
const dark = matchMedia("(prefers-color-scheme: dark)");

function el(name, props = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") made.className = value;
    else if (key in made && !key.startsWith("aria")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function button(text, act, props = {}) {
  const made = el("button", { type: "button", ...props }, text);
  made.addEventListener("click", act);
  return made;
}

function dot(colour) {
  const made = el("i", { class: "dot" });
  made.style.background = colour ?? "#888";
  return made;
}

/** A checkbox that looks like a word to press. */
function chip(text, checked, change, colour) {
  const input = el("input", { type: "checkbox", checked });
  input.addEventListener("change", () => change(input.checked));
  const shown = el("span", { title: text }, text);
  if (colour) shown.prepend(dot(colour));
  return el("label", { class: "chip" }, input, shown);
}

/** A table in a part of the page that scrolls by itself; cells of `rows` are texts or elements. */
function scrollTable(name, heads, rows, caption, classes = "") {
  const head = el("tr", {}, ...heads.map((text, i) => el("th", { scope: "col", class: i ? "" : "text" }, text)));
  const cells = (row) =>
    row.map((cell, i) =>
      cell instanceof Element && cell.tagName === "TD" ? cell : el("td", { class: i ? "" : "text" }, cell),
    );
  const table = el(
    "table",
    {},
    caption ? el("caption", {}, caption) : null,
    el("thead", {}, head),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row)))),
  );
  return el("div", { class: `scroll ${classes}`, tabindex: "0", role: "region", "aria-label": name }, table);
}

function pairsList(object) {
  const part = ([name, value]) =>
    el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, labelText(value)));
  return el("dl", {}, ...Object.entries(object).map(part));
}

/** Say something that is shown for a while, and read out by screen readers. */
function announce(text) {
  // A dialog hides the rest of the page from screen readers, so that it needs the words inside it.
  const open = document.querySelector("dialog[open]");
  (open ?? document.body).append($("message"));
  $("message").textContent = "";
  // The same words twice are two messages only where the text was empty in between.
  setTimeout(() => {
    $("message").textContent = text;
  }, 60);
  clearTimeout(announce.ending);
  announce.ending = setTimeout(() => {
    $("message").textContent = "";
  }, 8000);
}

function save(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Put a text on the clipboard and say so; where the browser refuses that, show it in a dialog, marked for copying. */
async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copiedAsOfOld(text)) {
      $("copy-text").value = text;
      $("copy").showModal();
      $("copy-text").select();
      announce("The browser does not let this page copy: the text is marked, press Ctrl+C or ⌘C");
      return;
    }
  }
  announce(`Copied ${said}`);
}

/** The way to copy that browsers allow pages opened from a file: from a text that is marked. */
function copiedAsOfOld(text) {
  const before = document.activeElement;
  const area = el("textarea", { value: text, class: "away", "aria-hidden": "true" });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    /* refused, like the clipboard */
  }
  area.remove();
  before?.focus();
  return done;
}
