// The page's one script. Every page works without it, by reloading; with it, a search streams in and keys steer it.
"use strict";

// A running search: the server sends the parts that changed, as HTML that it has escaped.
function follow(address) {
  const source = new EventSource(address);
  source.addEventListener("parts", (event) => show(JSON.parse(event.data)));
  source.addEventListener("end", () => source.close());
  source.addEventListener("error", () => {
    const lost = document.getElementById("lost");
    if (lost) lost.hidden = source.readyState === EventSource.OPEN;
  });
  source.addEventListener("open", () => {
    const lost = document.getElementById("lost");
    if (lost) lost.hidden = true;
  });
}

// Parts wait here until they are shown, because a transition begins later than it is asked for.
let waiting = {};

function show(parts) {
  Object.assign(waiting, parts);
  if (!("ranking" in parts) || !document.startViewTransition) return change();
  name();
  const gliding = document.startViewTransition(() => { change(); name(); });
  gliding.ready.catch(() => {}); // skipped where the page is hidden, or the next one comes
  gliding.finished.finally(unname);
}

function change() {
  const parts = waiting;
  waiting = {};
  for (const [id, html] of Object.entries(parts)) {
    const old = document.getElementById(id);
    if (!old) continue;
    const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.outerHTML = html;
    if (focus) document.getElementById(focus)?.focus();
  }
  const put = document.getElementById("answer");
  if (put && "question" in parts && document.activeElement === document.body) put.focus();
}

// While they are named, cards glide to their new places.
function name() {
  for (const card of document.querySelectorAll("#ranking .card")) card.style.viewTransitionName = card.id;
}

function unname() {
  for (const card of document.querySelectorAll("#ranking .card")) card.removeAttribute("style");
}

// Keys: / to the query; arrows or j and k from card to card; y, n and s press the focused card's buttons.
function typed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  if (at.matches("input, textarea, select")) return;
  if (event.key === "/") {
    event.preventDefault();
    return document.getElementById("query")?.focus();
  }
  const cards = [...document.querySelectorAll("#ranking .card")];
  const here = cards.findIndex((card) => card.contains(at));
  const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  if (step && cards.length) {
    event.preventDefault();
    const next = cards[Math.min(cards.length - 1, Math.max(0, here + step))];
    return next.querySelector("a").focus();
  }
  if (here >= 0) [...cards[here].querySelectorAll("button")].find((one) => one.dataset.key === event.key)?.click();
}

// A long list grows as it is scrolled to its end.
function grow(more) {
  const seen = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    const answer = await fetch(more.href, { headers: { "X-Part": "list" } });
    if (!answer.ok) return;
    const next = document.createElement("template");
    next.innerHTML = await answer.text();
    document.getElementById("list").append(...next.content.querySelectorAll("li"));
    const further = next.content.querySelector("#more");
    if (further) {
      more.replaceWith(further);
      grow(further);
    } else more.remove();
  }, { rootMargin: "1200px" });
  seen.observe(more);
}

document.addEventListener("keydown", typed);
document.addEventListener("submit", (event) => {
  const form = event.target; // a second click sends nothing twice
  if ("quick" in form.dataset || form.dataset.sent) event.preventDefault();
  if ("quick" in form.dataset) return mark(form);
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 4000);
});

// The star changes in its place.
async function mark(form) {
  const body = new URLSearchParams(new FormData(form));
  const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Part": "star" } }).catch(() => null);
  if (answer?.ok) show(await answer.json());
  else form.submit();
}

addEventListener("pageshow", () => document.querySelectorAll("form").forEach((form) => delete form.dataset.sent));
name();
const stream = document.body.dataset.stream;
if (stream) follow(stream);
const more = document.getElementById("more");
if (more) grow(more);
