"use strict";
(() => {
  const interval = 5000;
  const patience = 10000;
  const parts = ["top", "main", "foot"];
  const link = document.getElementById("link");
  const address = location.origin + location.pathname + location.search;
  let timer = 0;
  let asking = false;
  let seen = Date.now();

  // What somebody is selecting, to copy it, must not vanish under the pointer.
  const selecting = () => {
    const s = getSelection();
    return s !== null && !s.isCollapsed && s.toString() !== "";
  };

  const replace = (page) => {
    const open = Array.from(document.querySelectorAll("details[open]"), (d) => d.id);
    const focus = document.activeElement?.closest("details")?.id;
    const [x, y] = [scrollX, scrollY];
    for (const id of parts) {
      document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
    }
    for (const id of open) {
      document.getElementById(id)?.setAttribute("open", "");
    }
    if (focus) {
      document.getElementById(focus)?.querySelector("summary").focus({ preventScroll: true });
    }
    scrollTo({ left: x, top: y, behavior: "instant" });
  };

  const show = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    if (!parts.every((id) => page.getElementById(id))) {
      throw new Error("the answer is not the status page");
    }
    // Another version of kprop serve has another style.
    if (page.querySelector("style").textContent !== document.querySelector("style").textContent) {
      location.reload();
      return;
    }
    seen = Date.now();
    link.textContent = "";
    document.body.classList.remove("stale");
    document.title = page.title;
    document.getElementById("icon").href = page.getElementById("icon").href;
    if (!selecting()) {
      replace(page);
    }
  };

  const lose = (reason) => {
    const clock = new Date(seen).toISOString().slice(11, 19);
    const ago = Math.round((Date.now() - seen) / 1000);
    link.textContent = `kprop serve cannot be reached (${reason}): last seen ${clock} UTC, ${ago} s ago`;
    document.body.classList.add("stale");
    document.title = "Not reached · kprop";
  };

  const refresh = async () => {
    clearTimeout(timer);
    if (asking || document.visibilityState === "hidden") {
      return;
    }
    asking = true;
    try {
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(patience) });
      if (!answer.ok) {
        throw new Error(`HTTP status ${answer.status}`);
      }
      show(await answer.text());
    } catch (error) {
      lose(error.name === "TimeoutError" ? "no answer" : error.message);
    }
    asking = false;
    timer = setTimeout(refresh, interval);
  };

  document.addEventListener("visibilitychange", refresh);
  timer = setTimeout(refresh, interval);
})();
