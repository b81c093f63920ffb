"use strict";
(() => {
  const tip = document.getElementById("tip");
  // The script tells what the titles tell; both would appear otherwise.
  for (const title of document.querySelectorAll("[data-tip] > title")) title.remove();

  const show = (target, x, y) => {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(x + 14, 8), window.innerWidth - box.width - 8);
    const below = y + 18 + box.height < window.innerHeight;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${Math.max(below ? y + 18 : y - box.height - 12, 8)}px`;
  };
  const pointed = (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (target) show(target, event.clientX, event.clientY);
    else tip.hidden = true;
  };
  document.addEventListener("pointermove", pointed);
  document.addEventListener("pointerdown", pointed);
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  const copied = (button, words) => {
    button.textContent = words;
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };
  const select = (source) => {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      select(source);
      try {
        await navigator.clipboard.writeText(source.textContent);
        copied(button, "Copied");
      } catch {
        // A page read from a file may lack the clipboard; the selection is copied the old way.
        copied(button, document.execCommand("copy") ? "Copied" : "Press Ctrl+C");
      }
    });
  }

  // On paper nothing can be unfolded.
  window.addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
  document.documentElement.dataset.ready = "yes";
})();
