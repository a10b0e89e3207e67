// Returns what can be used on the page, at which place in that list the focus is,
// and what is wrong with how it looks there. Tab stops at one radio button of a
// group only, so here a group is one.
const same = (a, b) => a === b || (a?.type === "radio" && b?.type === "radio" && a.name === b.name);
const usable = [...document.querySelectorAll(`a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex="-1"])`)]
  .filter((e) => shown(e) && !e.disabled)
  .filter((e, i, all) => all.findIndex((other) => same(e, other)) === i);
const focused = document.activeElement;
const at = usable.findIndex((e) => same(e, focused));

// The browser's own ring is "auto", and any other is to be as visible as WCAG 2.2
// asks: 2 px, with a contrast of 3:1. A date is left to the browser, which has no
// ring for it: it marks the day, the month or the year.
if (at >= 0 && focused.type !== "date") {
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(focused);
  const ratio = contrast(read(outlineColor), background(focused.parentElement));
  if (outlineStyle !== "auto" && (outlineStyle === "none" || parseFloat(outlineWidth) < 2 || ratio < 3)) {
    problems.push(`${called(focused)}: focus cannot be seen, its outline is ${outlineStyle} ${outlineWidth}, contrast ${ratio.toFixed(2)}`);
  }
}
return { Usable: usable.map(called), Focused: at, Problems: problems };
