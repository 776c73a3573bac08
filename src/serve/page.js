// The page's only script: asks for the state again and again, and draws it. What comes from the program is
// put in as text, never as markup.
"use strict";

const EVERY = 400; // milliseconds
const at = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const score = (value) => (value === null ? "no number" : value.toFixed(value < 10 ? 2 : 0));
let shownFrame = null;
let shownEvents = "";

function element(kind, text, className) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function named(region) {
  const like = region.class === null ? "" : ` (most like ${region.class})`;
  return region.unknown ? `UNKNOWN${like} ${score(region.relative_score)}` : `known ${region.class} ${score(region.relative_score)}`;
}

function drawPicture(status) {
  const frame = status.frame;
  if (!frame || frame.index === shownFrame) return;
  shownFrame = frame.index;
  const picture = new Image();
  picture.onload = () => {
    const canvas = at("picture");
    if (canvas.width !== frame.width || canvas.height !== frame.height) {
      [canvas.width, canvas.height] = [frame.width, frame.height];
    }
    const pen = canvas.getContext("2d");
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    pen.lineWidth = Math.max(2, frame.width / 250);
    for (const region of status.regions) {
      pen.strokeStyle = colour(region.unknown ? "--unknown" : "--known");
      const [x, y, width, height] = region.box;
      const inset = pen.lineWidth / 2;
      pen.strokeRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
    }
  };
  picture.src = `/frame.jpg?${frame.index}`;
  at("regions").replaceChildren(
    ...status.regions.map((region) => element("li", named(region), region.unknown ? "unknown" : "known")),
  );
}

function drawPlot(history) {
  const canvas = at("plot");
  const { width, height } = canvas;
  const logarithmic = at("logarithmic").checked;
  const shape = (value) => (logarithmic ? Math.log10(Math.max(value, 1e-4)) : value);
  const values = history.map(([, value]) => shape(value));
  const low = logarithmic ? -4 : 0;
  const high = Math.max(shape(logarithmic ? 10 : 2), ...values.filter((value) => value < 1e30));
  const y = (value) => height - 6 - ((Math.min(value, high) - low) / (high - low)) * (height - 12);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  pen.strokeStyle = colour("--unknown");
  pen.setLineDash([6, 4]);
  pen.beginPath();
  pen.moveTo(0, y(shape(1)));
  pen.lineTo(width, y(shape(1)));
  pen.stroke();
  pen.setLineDash([]);
  pen.strokeStyle = colour("--ink");
  pen.lineWidth = 1.5;
  pen.beginPath();
  values.forEach((value, index) => {
    const x = values.length > 1 ? (index / (values.length - 1)) * width : 0;
    index ? pen.lineTo(x, y(value)) : pen.moveTo(x, y(value));
  });
  pen.stroke();
}

function showEvents(events) {
  const now = JSON.stringify(events);
  if (now === shownEvents) return;
  shownEvents = now;
  at("none").hidden = events.length > 0;
  at("events").replaceChildren(
    ...events.map((event) => {
      const line = element("li");
      const picture = element("img");
      picture.src = `/event/${event.number}.jpg`;
      picture.alt = "";
      picture.loading = "lazy";
      const like = event.class === null ? "" : ` (most like ${event.class})`;
      const over = event.seconds === null ? "still there" : `${event.seconds.toFixed(1)} s`;
      line.append(picture, element("span", `${event.time}: UNKNOWN${like} ${score(event.relative_score)}, ${over}`));
      return line;
    }),
  );
}

function show(status) {
  const state = at("state");
  const unknown = status.regions.some((region) => region.unknown);
  [state.textContent, state.className] = status.healthy
    ? unknown ? ["something unknown", "unknown"] : ["all known", "known"]
    : ["no frames come", "lost"];
  drawPicture(status);
  drawPlot(status.history);
  showEvents(status.events);
  at("thresholds").textContent =
    `In effect: ${status.threshold.toPrecision(4)}; configured: ${status.configured_threshold.toPrecision(4)}.`;
  if (document.activeElement !== at("tried") && !at("tried").value) at("tried").value = status.threshold.toPrecision(4);
  at("figures").replaceChildren(
    ...Object.entries(status.figures).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
}

async function look() {
  try {
    const answer = await fetch("/status.json");
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
  } catch {
    [at("state").textContent, at("state").className] = ["the program does not answer", "lost"];
  }
  setTimeout(look, EVERY);
}

const send = (value) => fetch("/threshold", { method: "POST", body: value });
at("threshold").addEventListener("submit", (event) => {
  event.preventDefault();
  send(at("tried").value);
});
at("reset").addEventListener("click", () => {
  at("tried").value = "";
  send("reset");
});
look();
