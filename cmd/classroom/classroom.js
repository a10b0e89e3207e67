// The classroom's page: it shows what the server says has changed, sends forms without
// leaving the page, and reloads the frame. Without it, the guide, the source and the claims
// still work.
"use strict";

const folder = document.body.dataset.folder;
const site = document.body.dataset.site;
const frame = document.getElementById("frame");
let current = "/"; // the page that the frame shows
const maxShown = 200;
const running = "The program is running.";

const byID = id => document.getElementById(id);

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

// Events of the server: a piece of the page has changed.
function listen() {
  const events = new EventSource("/events?folder=" + encodeURIComponent(folder));
  events.onmessage = message => {
    const { Target, HTML, Mode } = JSON.parse(message.data);
    const target = byID(Target);
    if (!target) return;
    const piece = parse(HTML);
    if (Mode === "replace") {
      target.replaceWith(piece);
      prepare();
      return;
    }
    const added = piece.firstElementChild;
    if (added.id && byID(added.id)) return; // after a reconnection
    target.querySelector(":scope > li.quiet")?.remove();
    target.prepend(added);
    while (target.children.length > maxShown) target.lastElementChild.remove();
    if (added.dataset.page !== undefined) showAddress(added.dataset.page);
    if (added.classList.contains("exchange")) laterBench();
  };
}

function showAddress(path) {
  current = path;
  byID("address").textContent = site + path;
  byID("tab").href = site + path;
}

function reload() {
  if (frame) frame.src = site + current;
}

// The state of the program: when it runs, the frame shows it.
let shownState = frame?.hasAttribute("src") ? running : "";
function prepare() {
  const state = byID("state")?.dataset.state ?? "";
  if (state !== shownState && state === running) {
    reload();
  }
  shownState = state;
}

// The bench shows the cookie that the browser has now, unless the visitor is typing there.
let timer, shownBench;
function laterBench() {
  clearTimeout(timer);
  timer = setTimeout(showBench, 100);
}
async function showBench() {
  const now = byID("bench-now");
  if (!now) return;
  const values = byID("values");
  if (values && (document.activeElement === values || values.value !== values.defaultValue)) return;
  const response = await fetch("/bench?folder=" + encodeURIComponent(folder));
  if (!response.ok) return;
  const html = await response.text();
  if (html !== shownBench) now.replaceChildren(parse((shownBench = html)));
}

// Forms that stay on the page. The answer goes into an element.
document.addEventListener("submit", async event => {
  const form = event.target;
  if (!form.classList.contains("live")) return;
  event.preventDefault();
  const into = byID(form.dataset.into);
  const button = event.submitter;
  const word = button?.textContent;
  if (button) button.setAttribute("aria-busy", "true");
  if (button && form.classList.contains("try")) button.textContent = "Running …";
  try {
    const response = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { Fragment: "yes" },
      body: new URLSearchParams(new FormData(form, button)),
    });
    const answer = parse(await response.text());
    if (into && answer.firstElementChild?.id === into.id) into.replaceWith(answer);
    else if (into && response.status !== 204) into.replaceChildren(answer);
    if (form.dataset.reload && response.ok) {
      byID("values")?.form.reset();
      if (button.value !== "copy") {
        reload();
        laterBench();
      }
    }
  } catch {
    if (into) into.textContent = "The classroom does not answer. Does it still run?";
  }
  if (button) {
    button.removeAttribute("aria-busy");
    button.textContent = word;
  }
});

document.addEventListener("click", event => {
  if (event.target.id === "reload") reload();
  if (event.target.classList.contains("copy")) {
    navigator.clipboard.writeText(event.target.previousElementSibling.textContent);
    event.target.textContent = "Copied";
    setTimeout(() => (event.target.textContent = "Copy"), 1500);
  }
});

for (const button of document.querySelectorAll(".copy, #reload")) button.hidden = false;
listen();
prepare();
if (document.body.dataset.run) byID("run").requestSubmit();
else laterBench();
