// Takes a new page every few seconds and puts its main part in the place of the one shown. Without it the page still reads;
// a browser without scripts loads it again.
"use strict";
const every = 5000;
let seen = new Date();

async function refresh() {
  const offline = document.getElementById("offline");
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new Error("no page");
    document.getElementById("main").replaceWith(fresh);
    document.title = fresh.dataset.title;
    document.getElementById("icon").href = fresh.dataset.icon;
    seen = new Date();
    offline.hidden = true;
  } catch {
    document.getElementById("seen").textContent = seen.toLocaleTimeString();
    offline.hidden = false;
  }
}

function selecting() {
  const s = document.getSelection();
  return s && !s.isCollapsed; // somebody is copying a command
}

setInterval(() => {
  if (!document.hidden && !selecting()) refresh();
}, every);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
