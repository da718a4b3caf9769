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
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000, address); // what stands between gave up
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

// Keys: / to the query; arrows or j and k from card to card, or from page to page; y, n and s press the buttons.
function typed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  if (at.matches("input, textarea, select")) return;
  if (event.key === "/") {
    event.preventDefault();
    return document.getElementById("query")?.focus();
  }
  const cards = [...document.querySelectorAll("#ranking .card")];
  const beside = { ArrowRight: "next", j: "next", ArrowLeft: "prev", k: "prev" }[event.key];
  if (beside && !cards.length) return document.querySelector(`a[rel=${beside}]`)?.click();
  const here = cards.findIndex((card) => card.contains(at));
  const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  if (step && cards.length) {
    event.preventDefault();
    const next = cards[Math.min(cards.length - 1, Math.max(0, here + step))];
    return next.querySelector("a").focus();
  }
  const where = cards.length ? cards[here] : document;
  if (where) [...where.querySelectorAll("button")].find((one) => one.dataset.key === event.key)?.click();
}

// A long list: of the rows only those near the screen are there, so that a hundred thousand scroll like a hundred.
function scrolled(list) {
  const { address, first, last, piece, total } = list.dataset;
  const items = new Map();
  const take = (content, start) => [...content.children].forEach((item, at) => items.set(start + at, item));
  take(list, list.start - 1);
  const asked = new Set();
  let [from, to, columns, height] = [0, 0, 1, 1];

  function measure() {
    const style = getComputedStyle(list);
    columns = style.gridTemplateColumns.split(" ").length;
    height = list.firstElementChild.getBoundingClientRect().height + parseFloat(style.rowGap);
  }

  function row(line) { // within the list, of the one that stands at this height of the window
    const rows = Math.ceil((last - first) / columns);
    return Math.min(rows, Math.max(0, Math.floor((line - list.getBoundingClientRect().top) / height)));
  }

  function place() {
    const [above, below] = [row(-600), row(innerHeight + 600) + 1];
    from = +first + above * columns;
    to = Math.min(last, +first + below * columns);
    const wanted = [];
    for (let at = from; at < to; at++) wanted.push(items.get(at) ?? blank(at));
    const near = new Set(wanted);
    for (const item of [...list.children]) if (!near.has(item)) item.remove();
    let next = list.firstElementChild; // what stays is not moved, and keeps the focus
    for (const item of wanted) {
      if (item === next) next = next.nextElementSibling;
      else list.insertBefore(item, next);
    }
    list.style.paddingTop = `${above * height}px`;
    list.style.paddingBottom = `${Math.max(0, Math.ceil((last - first) / columns) - below) * height}px`;
    list.start = from + 1;
    fetchMissing();
  }

  function blank(at) {
    const item = document.createElement("li");
    item.className = "card blank";
    item.append(Object.assign(document.createElement("span"), { className: "photo" }));
    item.append(Object.assign(document.createElement("p"), { className: "facts", textContent: "\u00a0" }));
    return item;
  }

  async function fetchMissing() { // what is seen first, then the piece after it and the one before
    const near = [from, to - 1, to - 1 + +piece, from - piece].filter((at) => at >= first && at < last);
    const at = near.map((one) => one - (one % piece)).find((one) => !asked.has(one) && lacks(one));
    if (at === undefined || asked.size === 2) return;
    asked.add(at);
    const answer = await fetch(`${address}start=${at}`).catch(() => null);
    if (answer?.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      take(page.getElementById("list"), at);
      for (const one of items.keys()) if (one < from - 2000 || one > to + 2000) items.delete(one);
    } else await new Promise((resolve) => setTimeout(resolve, 2000));
    asked.delete(at);
    place();
  }

  function lacks(start) {
    const end = Math.min(start + +piece, last);
    for (let at = start; at < end; at++) if (!items.has(at)) return true;
    return false;
  }

  let due = 0;
  let still = 0;
  function moved() {
    due ||= requestAnimationFrame(() => { due = 0; place(); });
    clearTimeout(still);
    still = setTimeout(remember, 300);
  }

  function remember() { // where one is belongs to the address, so that coming back leads there
    const at = Math.min(last - 1, +first + row(0) * columns);
    const said = document.getElementById("at");
    if (said) said.textContent = `${(at + 1).toLocaleString("en")} of ${(+total).toLocaleString("en")}`;
    history.replaceState(null, "", `${address}start=${at}`);
  }

  for (const [id, further, at] of [["less", first > 0, first - piece], ["more", +last < total, last]]) {
    const link = document.getElementById(id);
    if (link) Object.assign(link, { hidden: !further, href: `${address}start=${at}` });
  }
  history.scrollRestoration = "manual";
  const start = list.start - 1;
  measure();
  place();
  if (start > first) scrollTo(0, scrollY + list.getBoundingClientRect().top + Math.floor((start - first) / columns) * height);
  addEventListener("scroll", moved, { passive: true });
  addEventListener("resize", () => {
    const at = +first + row(0) * columns;
    measure();
    place();
    if (row(0)) scrollTo(0, scrollY + list.getBoundingClientRect().top + Math.floor((at - first) / columns) * height);
  });
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
const list = document.getElementById("list");
if (list && list.dataset.last - list.dataset.first > list.dataset.piece) scrolled(list);
