// The page's only script: draws the groups, moves among the pictures, and sends what a person says of them.
// What comes from the program is put in as text, never as markup. The program keeps everything that lasts.
"use strict";

const FIRST_SHOWN = 48; // pictures of a group, until all are asked for
const at = (id) => document.getElementById(id);
const score = (value) => (value === null ? "–" : value.toFixed(value < 10 ? 2 : 0));
const pictures = (count) => `${count} picture${count === 1 ? "" : "s"}`;
const isDone = (thing) => thing.ignored || thing.label !== null;

let overview = { classes: [], known: 0 };
let sheets = []; // as /groups gives them, with `section` and `shown`, the elements of what is shown
const elements = new Map(); // of a thing's number
const things = new Map(); // of a number
const selected = new Set(); // numbers
let here = { sheet: 0, place: 0 }; // the picture that keys go from
let lastClass = null;
let turn = Promise.resolve();

// After what was asked for before is answered: a quick second key is for what the first one leaves.
function inTurn(does) {
  turn = turn.then(does);
}

function element(kind, text, className) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function button(key, text, does, className) {
  const made = element("button", undefined, className);
  made.type = "button";
  if (key) made.append(element("kbd", key), " ");
  made.append(text);
  made.addEventListener("click", () => inTurn(does));
  return made;
}

function say(text, isWrong = false) {
  at("said").textContent = text;
  at("said").className = isWrong ? "wrong" : "";
}

// The answer, or null after saying what is wrong.
async function ask(path, asked) {
  try {
    const options = asked === undefined ? {} : { method: "POST", body: JSON.stringify(asked) };
    const answer = await fetch(path, options);
    if (answer.ok) return await answer.json();
    const text = await answer.text();
    let wrong = text;
    try { wrong = JSON.parse(text).error; } catch { /* the server's own answers are plain text */ }
    say(wrong, true);
  } catch {
    say("The program does not answer.", true);
  }
  return null;
}

// ---- What is shown

function showOverview(now) {
  overview = now;
  at("bar").max = Math.max(now.of, 1);
  at("bar").value = now.looked;
  at("looked").textContent = `${now.looked} of ${now.of} looked through${now.are_more ? "; older ones were not read" : ""}`;
  at("export").hidden = now.export === null;
  at("export").title = now.export ?? "";
  const unit = at("unit").value;
  at("unit").replaceChildren(new Option("all", ""), ...now.units.map((name) => new Option(name, name)));
  at("unit").value = now.units.includes(unit) ? unit : "";
  at("names").replaceChildren(...now.classes.map((name) => new Option(name)));
  const undoing = button("u", "undo", undo);
  undoing.disabled = now.undo === null;
  undoing.title = now.undo ?? "";
  at("marks").replaceChildren(
    ...now.classes.map((name, place) => button(place < 9 ? place + 1 : "", name, () => label(name), "class")),
    button("n", "another class …", askName),
    button("i", "ignore", () => mark({ do: "ignore" })),
    button("s", "star", star),
    undoing,
    button("0", "take back", () => mark({ do: "open" })),
    button("a", "all of the group", selectGroup),
    button("⏎", "look closely", lookClosely),
  );
}

function choice() {
  const number = (id) => (at(id).value === "" ? null : Number(at(id).value));
  const time = (id) => (at(id).value === "" ? null : new Date(at(id).value).getTime());
  return {
    detail: Number(at("detail").value),
    order: at("order").value,
    which: {
      unit: at("unit").value || null,
      since_ms: time("since"),
      until_ms: time("until"),
      least_score: number("least"),
      most_score: number("most"),
      done: at("done").checked,
    },
  };
}

async function showGroups() {
  const found = await ask("/groups", choice());
  if (found === null) return;
  sheets = found;
  elements.clear();
  things.clear();
  selected.clear();
  sheets.forEach((sheet) => sheet.things.forEach((thing) => things.set(thing.number, thing)));
  at("groups").replaceChildren(...sheets.map(drawSheet));
  at("nothing").hidden = sheets.length > 0;
  here = { sheet: 0, place: 0 };
  go(here, false);
}

function drawSheet(sheet, index) {
  const section = element("section", undefined, "group");
  section.dataset.group = sheet.group;
  const head = element("header");
  const like = sheet.class === null ? "" : `, mostly like ${sheet.class}`;
  head.append(
    element("h2", `Group ${index + 1}`),
    element("p", `${pictures(sheet.things.length)}${like}; score ÷ threshold ${score(sheet.score)}`),
  );
  const grid = element("div", undefined, "sheet");
  grid.setAttribute("role", "listbox");
  grid.setAttribute("aria-multiselectable", "true");
  grid.setAttribute("aria-label", `Pictures of group ${index + 1}`);
  sheet.shown = [];
  sheet.section = section;
  const show = (from, until) => {
    const more = sheet.things.slice(from, until).map((thing, place) => drawThing(thing, index, from + place));
    sheet.shown.push(...more);
    grid.append(...more);
  };
  show(0, FIRST_SHOWN);
  section.append(head, grid);
  if (sheet.things.length > FIRST_SHOWN) {
    const rest = button("", `show the other ${sheet.things.length - FIRST_SHOWN}`, () => {
      rest.remove();
      show(FIRST_SHOWN);
    });
    head.append(rest);
  }
  return section;
}

function drawThing(thing, sheet, place) {
  const made = element("div", undefined, "thing");
  made.setAttribute("role", "option");
  made.tabIndex = -1;
  made.dataset.number = thing.number;
  const like = thing.class === null ? "" : `most like ${thing.class}, `;
  made.title = `${like}score ${score(thing.score)}, ${thing.unit}, ${new Date(thing.time_ms).toLocaleString()}`;
  const picture = element("img");
  picture.loading = "lazy";
  picture.alt = made.title;
  picture.src = `/thumb/${thing.number}.jpg`;
  made.append(picture, element("span", "", "star"), element("span", "", "tag"));
  made.addEventListener("click", (event) => {
    if (event.shiftKey && here.sheet === sheet) selectRange(sheet, here.place, place);
    else select(thing.number, !selected.has(thing.number));
    go({ sheet, place }, false);
  });
  made.addEventListener("dblclick", () => inTurn(lookClosely));
  elements.set(thing.number, made);
  drawMarks(thing);
  return made;
}

function drawMarks(thing) {
  const made = elements.get(thing.number);
  if (!made) return;
  made.classList.toggle("finished", isDone(thing));
  made.querySelector(".tag").textContent = thing.ignored ? "ignored" : thing.label ?? "";
  made.querySelector(".star").textContent = thing.starred ? "★" : "";
  made.setAttribute("aria-selected", selected.has(thing.number));
}

// ---- Where keys go from

const current = () => sheets[here.sheet]?.things[here.place];

function go(to, scrolls = true) {
  elements.get(current()?.number)?.classList.remove("at");
  sheets[here.sheet]?.section.classList.remove("here");
  here = to;
  const sheet = sheets[here.sheet];
  if (!sheet) return;
  here.place = Math.min(Math.max(here.place, 0), sheet.shown.length - 1);
  sheet.section.classList.add("here");
  const picture = sheet.shown[here.place];
  picture.classList.add("at");
  if (!scrolls) return;
  picture.focus({ preventScroll: true });
  (here.place === 0 ? sheet.section : picture).scrollIntoView({ block: here.place === 0 ? "start" : "nearest" });
}

function goBy(steps) {
  let { sheet, place } = here;
  place += steps;
  if (place < 0) [sheet, place] = sheet > 0 ? [sheet - 1, Infinity] : [0, 0];
  else if (place >= sheets[sheet]?.shown.length && sheet + 1 < sheets.length) [sheet, place] = [sheet + 1, 0];
  go({ sheet, place });
}

// To the picture above or below, in the next group if need be.
function goRow(down) {
  const row = sheets[here.sheet]?.shown;
  if (!row) return;
  const columns = row.filter((picture) => picture.offsetTop === row[0].offsetTop).length;
  const column = here.place % columns;
  const place = here.place + (down ? columns : -columns);
  const lastRow = Math.floor((row.length - 1) / columns);
  if (place >= 0 && (place < row.length || Math.floor(here.place / columns) < lastRow)) return go({ ...here, place });
  const sheet = here.sheet + (down ? 1 : -1);
  const there = sheets[sheet]?.shown;
  if (!there) return;
  const lastStart = Math.floor((there.length - 1) / columns) * columns;
  go({ sheet, place: (down ? 0 : lastStart) + column });
}

function goGroup(steps) {
  go({ sheet: Math.min(Math.max(here.sheet + steps, 0), Math.max(sheets.length - 1, 0)), place: 0 });
}

// ---- What is selected

function select(number, isSelected) {
  isSelected ? selected.add(number) : selected.delete(number);
  drawMarks(things.get(number));
  say(selected.size ? `${pictures(selected.size)} selected` : "");
}

function selectRange(sheet, one, other) {
  const [from, to] = one < other ? [one, other] : [other, one];
  sheets[sheet].things.slice(from, to + 1).forEach((thing) => select(thing.number, true));
}

function selectGroup() {
  sheets[here.sheet]?.things.forEach((thing) => select(thing.number, true));
}

function selectNothing() {
  const were = [...selected];
  selected.clear();
  were.forEach((number) => drawMarks(things.get(number)));
  say("");
}

// The selected things, or those of the group that `admits` lets through.
function meant(admits) {
  if (selected.size) return [...selected].map((number) => things.get(number));
  return (sheets[here.sheet]?.things ?? []).filter(admits);
}

// ---- What a person says

async function mark(what) {
  const isGroup = selected.size === 0;
  const admits = what.do === "open" ? isDone : what.do === "star" ? () => true : (thing) => !isDone(thing);
  const numbers = meant(admits).map((thing) => thing.number);
  if (!numbers.length) return say("Nothing in this group is meant: select pictures first.", true);
  const changed = await ask("/mark", { things: numbers, mark: what });
  if (changed === null) return;
  selectNothing();
  take(changed);
  if (isGroup && (what.do === "label" || what.do === "ignore")) goToOpen();
}

function label(name) {
  lastClass = name;
  return mark({ do: "label", class: name });
}

function star() {
  return mark({ do: "star", on: !meant(() => true).every((thing) => thing.starred) });
}

// On to the next group in which something is open, from the first again after the last.
function goToOpen() {
  const open = sheets.flatMap((sheet, index) => (sheet.things.every(isDone) ? [] : [index]));
  const next = open.find((index) => index > here.sheet) ?? open[0];
  if (next !== undefined) go({ sheet: next, place: 0 });
}

function take(changed) {
  for (const thing of changed.things) {
    const there = things.get(thing.number);
    if (there) drawMarks(Object.assign(there, thing));
  }
  showOverview(changed.overview);
  say(changed.text);
}

async function undo() {
  const changed = await ask("/undo", {});
  if (changed === null) return;
  take(changed);
  // What was looked at may not be shown since the page was loaded.
  if (changed.things.some((thing) => !things.has(thing.number))) await showGroups();
  const number = changed.things[0]?.number;
  const sheet = sheets.findIndex((sheet) => sheet.things.some((thing) => thing.number === number));
  if (sheet >= 0) go({ sheet, place: sheets[sheet].things.findIndex((thing) => thing.number === number) });
  say(changed.text);
}

function askName() {
  at("named").value = "";
  at("name").returnValue = "";
  at("name").showModal();
}

async function lookClosely() {
  const thing = current();
  if (!thing) return;
  const event = await ask(`/thing/${thing.number}.json`);
  if (event === null) return;
  at("whole").src = `/picture/${thing.number}.jpg`;
  const lines = {
    time: new Date(thing.time_ms).toLocaleString() + (event.clock_set ? "" : " (the clock was not set)"),
    unit: event.unit,
    source: event.source,
    "most like": [event.class, event.runner_up].filter(Boolean).join(", then "),
    "score ÷ threshold": score(thing.score),
    class: thing.ignored ? "ignored" : thing.label ?? "",
    event: event.id,
    model: event.model_version ?? event.model,
  };
  at("details").replaceChildren(
    ...Object.entries(lines).filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  at("large").showModal();
}

async function exportFolder() {
  say("exporting …");
  const exported = await ask("/export", {});
  if (exported === null) return;
  const classes = Object.entries(exported.classes).map(([name, count]) => `${name} ${count}`).join(", ");
  const removed = exported.removed ? `; ${pictures(exported.removed)} of before removed` : "";
  say(`${pictures(exported.pictures)} in ${overview.export}${classes ? `: ${classes}` : ""}${removed}`);
}

async function readAgain() {
  say("reading …");
  const now = await ask("/read", {});
  if (now === null) return;
  showOverview(now);
  await showGroups();
  say("read again");
}

// ---- Keys

const KEYS = {
  ArrowLeft: () => goBy(-1),
  ArrowRight: () => goBy(1),
  ArrowUp: () => goRow(false),
  ArrowDown: () => goRow(true),
  j: () => goGroup(1),
  k: () => goGroup(-1),
  " ": () => current() && select(current().number, !selected.has(current().number)),
  a: selectGroup,
  Escape: selectNothing,
  Enter: lookClosely,
  n: askName,
  r: () => (lastClass === null ? say("Nothing was labelled yet.", true) : label(lastClass)),
  i: () => mark({ do: "ignore" }),
  s: star,
  0: () => mark({ do: "open" }),
  u: undo,
  "?": () => at("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const isTyped = event.target.closest("dialog, input, select");
  const isPressed = (event.key === " " || event.key === "Enter") && event.target.closest("button, summary");
  if (isTyped || isPressed || event.ctrlKey || event.altKey || event.metaKey) return;
  const name = /^[1-9]$/.test(event.key) ? overview.classes[Number(event.key) - 1] : undefined;
  const does = name === undefined ? KEYS[event.key] : () => label(name);
  if (!does) return;
  event.preventDefault();
  inTurn(does);
});

at("name").addEventListener("close", () => {
  const name = at("named").value.trim();
  if (at("name").returnValue === "yes" && name) inTurn(() => label(name));
});
at("no").addEventListener("click", () => at("name").close());
at("export").addEventListener("click", () => inTurn(exportFolder));
at("read").addEventListener("click", () => inTurn(readAgain));
at("help").addEventListener("click", () => at("keys").showModal());
at("which").addEventListener("change", () => inTurn(showGroups));
at("which").addEventListener("submit", (event) => event.preventDefault());

(async () => {
  const now = await ask("/overview.json");
  if (now === null) return;
  showOverview(now);
  await showGroups();
})();
