// Every two seconds: fetch the page's live parts and replace only those that changed, so that nothing flickers.
"use strict";
(() => {
  const pause = 2000;
  const seen = new Map();
  const parts = (root) => root.querySelectorAll("[data-live]");
  const lost = document.getElementById("lost");
  parts(document).forEach((part) => seen.set(part.id, part.innerHTML));

  async function refresh() {
    const address = new URL(location.href);
    address.searchParams.set("part", "live");
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(15000) });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    parts(fresh).forEach((part) => {
      const here = document.getElementById(part.id);
      if (!here || seen.get(part.id) === part.innerHTML || here.contains(document.activeElement)) return;
      seen.set(part.id, part.innerHTML);
      here.innerHTML = part.innerHTML;
    });
  }

  async function turn() {
    if (!document.hidden) {
      try { await refresh(); lost.hidden = true; } catch { lost.hidden = false; }
    }
    setTimeout(turn, pause);
  }
  if (seen.size) setTimeout(turn, pause);
})();
