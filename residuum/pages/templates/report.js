// Shows what a pointer rests on at once, near it. Without scripts the browser shows the same titles by itself.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const text = new Map();
  for (const title of document.querySelectorAll("svg .hover title")) {
    text.set(title.parentNode, title.textContent);
    title.remove();
  }
  for (const cell of document.querySelectorAll(".cell[title]")) {
    text.set(cell, cell.title);
    cell.setAttribute("aria-label", cell.title);
    cell.removeAttribute("title");
  }
  const show = (target, x, y) => {
    tip.textContent = text.get(target);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = (y + box.height + 24 > innerHeight ? y - box.height - 12 : y + 16) + "px";
  };
  for (const target of text.keys()) {
    target.addEventListener("pointermove", (e) => show(target, e.clientX, e.clientY));
    target.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
})();
