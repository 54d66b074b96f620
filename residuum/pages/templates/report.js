// Shows what a pointer, a finger or the keyboard rests on, near it. In a map or a figure arrow keys
// go from one point to the next; without scripts the browser shows the same titles by itself.
(() => {
  const REACH = 24;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  const show = (target) => {
    tip.textContent = target.getAttribute("aria-label");
    tip.hidden = false;
    const at = target.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const left = Math.min(at.left + at.width / 2 - box.width / 2, innerWidth - box.width - 8);
    tip.style.left = Math.max(8, left) + "px";
    const below = at.bottom + 8 + box.height < innerHeight;
    tip.style.top = (below ? at.bottom + 8 : at.top - box.height - 8) + "px";
  };
  const nearest = (targets, event) => {
    let found = null, least = REACH;
    for (const target of targets) {
      const box = target.getBoundingClientRect();
      const x = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
      const y = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
      const centre = Math.hypot(event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
      const away = Math.hypot(x, y) + centre / 1000;
      if (away < least) [found, least] = [target, away];
    }
    return found;
  };
  for (const group of document.querySelectorAll(".map, .figure svg")) {
    const targets = [...group.querySelectorAll(".cell, .points circle")];
    if (!targets.length) continue;
    const stop = (target) => {
      for (const each of targets) each.setAttribute("tabindex", each === target ? 0 : -1);
    };
    for (const target of targets) {
      const title = target.querySelector("title");
      target.setAttribute("aria-label", title ? title.textContent : target.title);
      title ? title.remove() : target.removeAttribute("title");
      target.addEventListener("focus", () => { stop(target); show(target); });
      target.addEventListener("blur", hide);
    }
    stop(targets[0]);
    group.addEventListener("keydown", (event) => {
      const at = targets.indexOf(document.activeElement), last = targets.length - 1;
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      targets[Math.max(0, Math.min(last, to))].focus();
    });
    group.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      const target = nearest(targets, event);
      target ? show(target) : hide();
    });
    group.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
    group.addEventListener("click", (event) => {
      const target = nearest(targets, event);
      if (!target) return hide();
      target.focus({ preventScroll: true });
      show(target);
    });
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", () => {
    document.activeElement.matches(".cell, .points circle") && !tip.hidden ? show(document.activeElement) : hide();
  }, { passive: true });
})();
