"use strict";
(function () {
  const all = (what, within) => Array.from((within || document).querySelectorAll(what));
  const box = document.getElementById("filter");
  const onlyBad = document.getElementById("only-bad");
  const onlyDifferent = document.getElementById("only-different");
  const items = all("[data-f]").map((element) => ({
    element,
    text: element.dataset.f.toLowerCase(),
  }));

  /* A group is hidden when all that it groups is. */
  function hideEmptyGroups(filtering) {
    for (const group of all("[data-group]")) {
      const within = all("[data-f]", group);
      group.hidden = filtering && within.length > 0 && within.every((item) => item.hidden);
    }
  }

  function filter() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const filtering = words.length > 0 || onlyBad.checked || (onlyDifferent && onlyDifferent.checked);
    let shown = 0;
    for (const item of items) {
      const data = item.element.dataset;
      item.element.hidden =
        (onlyBad.checked && !data.bad) ||
        (onlyDifferent && onlyDifferent.checked && !data.different) ||
        !words.every((word) => item.text.includes(word));
      shown += item.element.hidden ? 0 : 1;
    }
    hideEmptyGroups(filtering);
    document.getElementById("none").hidden = shown > 0;
  }

  /* What a link leads to is shown, however deep it is folded away. */
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden || target.closest("[hidden]")) {
      box.value = "";
      onlyBad.checked = false;
      if (onlyDifferent) onlyDifferent.checked = false;
      filter();
    }
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView();
  }

  if (!box) return;
  box.addEventListener("input", filter);
  for (const control of [onlyBad, onlyDifferent]) {
    if (control) control.addEventListener("change", filter);
  }
  /* A tile stands in a summary: it leads somewhere, and must not fold that away. */
  for (const tile of all(".tiles a")) {
    tile.addEventListener("click", (event) => {
      event.preventDefault();
      if (location.hash === tile.getAttribute("href")) reveal();
      else location.hash = tile.getAttribute("href");
    });
  }
  window.addEventListener("hashchange", reveal);
  reveal();
})();
