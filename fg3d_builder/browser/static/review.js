// Verdicts, keys and undo, on the list as on a capture's page. The review list is the only memory of
// verdicts; the tab remembers which of them it gave, so that they can be taken back.
"use strict";

const VERDICT_WORDS = { accept: "accepted", reject: "rejected", auto: "left to the threshold" };
// Of one review list: another build's page may have the same address tomorrow.
const HISTORY = `fg3d-given ${document.querySelector('meta[name="review-list"]').content}`;
const page = document.getElementById("capture");
const rows = [...document.querySelectorAll("#rows [data-id]")];
const note = document.getElementById("note");
let busy = false;

function toast(text, bad) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.className = bad ? "shown bad" : "shown";
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { place.className = ""; }, bad ? 8000 : 2500);
}

function given() {
  try {
    return JSON.parse(sessionStorage.getItem(HISTORY)) || [];
  } catch {
    return [];
  }
}

function remember(list) {
  sessionStorage.setItem(HISTORY, JSON.stringify(list.slice(-500)));
}

function seen(element) {
  return { verdict: element.dataset.verdict, note: element.dataset.note };
}

async function asked(address, sent) {
  const headers = { Accept: "application/json" };
  const request = { headers };
  if (sent) {
    headers["Content-Type"] = "application/json";
    headers["X-Token"] = document.querySelector('meta[name="token"]').content;
    request.method = "POST";
    request.body = JSON.stringify(sent);
  }
  const answer = await fetch(address, request);
  const said = await answer.json();
  return { status: answer.status, said };
}

function address(id) {
  return `/captures/${encodeURIComponent(id)}/verdict`;
}

function badge(element) {
  const { verdict, kept } = element.dataset;
  const place = element.querySelector(".badge");
  if (!place) return;
  const [name, text] = verdict === "accept" ? ["accept", "accepted"]
    : verdict === "reject" ? ["reject", "rejected"]
      : kept === "True" ? ["auto", "in"] : ["below", "below threshold"];
  place.className = `badge ${name}`;
  place.textContent = text;
}

// Show what the list says now of a capture, wherever this page shows it.
function show(id, now) {
  const element = page ? (page.dataset.id === id ? page : null) : rows.find((row) => row.dataset.id === id);
  document.getElementById("given").textContent = now.given.toLocaleString("en");
  if (!element) return;
  const edited = isEdited();
  element.dataset.verdict = now.verdict;
  element.dataset.note = now.note;
  element.dataset.kept = now.kept ? "True" : "False";
  badge(element);
  const text = element.querySelector(".note-text");
  if (text) text.textContent = now.note;
  if (!page) return;
  document.getElementById("place").textContent = now.place;
  if (!edited || now.mine) note.value = now.note;
  pressed();
}

function isEdited() {
  return Boolean(note) && note.value !== page.dataset.note;
}

function pressed() {
  if (!page) return;
  for (const button of page.querySelectorAll("button[data-verdict]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === page.dataset.verdict));
  }
}

// Returns what the list says where it took the verdict, null where it did not, and undefined where
// there was no answer.
async function send(id, wanted, before) {
  if (busy) return undefined;
  busy = true;
  try {
    const { status, said } = await asked(address(id), { wanted, seen: before });
    if (status === 200) {
      show(id, { ...said, mine: true });
      return said;
    }
    if (said.now) show(id, said.now);
    toast(said.error, true);
    return said.now ? null : undefined;
  } catch {
    toast("fg3d view does not answer: was it ended?", true);
  } finally {
    busy = false;
  }
  return undefined;
}

function chosen() {
  return page || rows.find((row) => row.classList.contains("chosen"));
}

async function judge(verdict, stay) {
  const element = chosen();
  if (!element) return toast("choose a capture first: arrow keys, or N");
  if (element.dataset.state !== "registered") return toast("there is no registration to judge", true);
  const before = seen(element);
  const wanted = { verdict, note: page ? note.value : before.note };
  const now = await send(element.dataset.id, wanted, before);
  if (!now) return undefined;
  const after = { verdict: now.verdict, note: now.note };
  if (after.verdict !== before.verdict || after.note !== before.note) {
    remember([...given(), { id: element.dataset.id, before, after }]);
  }
  toast(`${element.dataset.id}: ${VERDICT_WORDS[verdict]}`);
  return stay ? undefined : step(1);
}

async function undo() {
  const list = given();
  const last = list.pop();
  if (!last) return toast("this tab has given no verdict that could be undone");
  const now = await send(last.id, last.before, last.after);
  if (now !== undefined) remember(list);
  if (!now) return undefined;
  toast(`${last.id}: ${VERDICT_WORDS[now.verdict]}, as before`);
  if (page && page.dataset.id !== last.id) {
    location.assign(`/captures/${encodeURIComponent(last.id)}${location.search}`);
  } else if (!page) {
    const row = rows.find((each) => each.dataset.id === last.id);
    if (row) choose(row);
  }
  return undefined;
}

function choose(row) {
  for (const each of rows) each.classList.toggle("chosen", each === row);
  row.scrollIntoView({ block: "nearest" });
}

function step(by) {
  if (!page && rows.length) {
    const at = rows.indexOf(chosen()) + by;
    if (at >= 0 && at < rows.length) return choose(rows[at]);
  }
  if (isEdited() && !step.warned) {
    step.warned = true;
    return toast("the note is not saved: Ctrl+Enter in it saves, this key again leaves it", true);
  }
  const link = document.querySelector(by > 0 ? '[rel="next"]' : '[rel="prev"]');
  if (link) location.assign(link.href);
  else toast(by > 0 ? "this was the last one" : "this is the first one");
  return undefined;
}

function down(by) {
  const at = rows.indexOf(chosen());
  const top = (row) => row.getBoundingClientRect().top;
  const across = rows.filter((row) => Math.abs(top(row) - top(rows[0])) < 4).length || 1;
  const to = at < 0 ? 0 : at + by * across;
  if (rows[to]) choose(rows[to]);
}

// Somebody may have changed the list while this tab was out of sight. Who writes a note is told when
// it is saved: until then the page keeps what they have seen.
async function refresh() {
  if (!page || page.dataset.state !== "registered" || busy || isEdited()) return;
  try {
    const { status, said } = await asked(address(page.dataset.id));
    if (status === 200 && !busy && !isEdited()) show(page.dataset.id, said);
  } catch { /* told when a verdict is given */ }
}

const KEYS = {
  a: () => judge("accept", false), A: () => judge("accept", true),
  r: () => judge("reject", false), R: () => judge("reject", true),
  t: () => judge("auto", true),
  u: undo,
  n: () => step(1), j: () => step(1), ArrowRight: () => step(1),
  p: () => step(-1), k: () => step(-1), ArrowLeft: () => step(-1),
  e: () => note && note.focus(),
  l: () => document.getElementById("list")?.click(),
  "/": () => document.getElementById("search")?.focus(),
  "?": () => document.getElementById("help").showModal(),
};

if (!page) {
  KEYS.ArrowDown = () => down(1);
  KEYS.ArrowUp = () => down(-1);
  KEYS.Enter = () => chosen()?.querySelector("a").click();
}

document.addEventListener("keydown", (event) => {
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      judge(page.dataset.verdict, true);
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  // A key that is held down must not judge captures that nobody has seen.
  if (event.repeat && "arRAtu".includes(event.key)) return;
  const slides = event.target.type === "range" && !event.key.startsWith("Arrow");
  if (!slides && event.target.closest("input, select, textarea")) return;
  if (event.key === "Enter" && event.target.closest("a, button")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.getElementById("help-button")?.addEventListener("click", KEYS["?"]);
document.getElementById("undo")?.addEventListener("click", undo);
document.getElementById("save-note")?.addEventListener("click", () => judge(page.dataset.verdict, true));
for (const button of document.querySelectorAll("button[data-verdict]")) {
  button.addEventListener("click", (event) => judge(button.dataset.verdict, event.shiftKey));
}
for (const select of document.querySelectorAll("#filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
// Empty fields would make the address long for nothing.
document.getElementById("filters")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.value === "") field.disabled = true;
});
// Keys are about what has the focus, wherever arrow keys have been before.
document.getElementById("rows")?.addEventListener("focusin", (event) => {
  const row = event.target.closest("[data-id]");
  if (row && row !== chosen()) choose(row);
});
// A lean build has dropped what pictures are made of.
function withoutPicture(image) {
  const blank = document.createElement("span");
  blank.className = "blank";
  blank.textContent = "no picture";
  image.replaceWith(blank);
}
for (const image of document.querySelectorAll(".tile img")) {
  if (image.complete && image.naturalWidth === 0) withoutPicture(image);
  else image.addEventListener("error", () => withoutPicture(image));
}
window.addEventListener("pageshow", (event) => {
  for (const field of document.querySelectorAll("#filters :disabled")) field.disabled = false;
  if (event.persisted) location.reload();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
window.addEventListener("focus", refresh);
pressed();
document.documentElement.dataset.ready = "yes";
