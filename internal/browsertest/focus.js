// Returns the elements of the page that can be used, the place in that list of the one
// with the focus, and what is wrong with its look. A group of radio buttons is one element
// here, because Tab stops at only one of them.
const same = (a, b) => a === b || (a?.type === "radio" && b?.type === "radio" && a.name === b.name);
const usable = [...document.querySelectorAll(`a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex="-1"])`)]
  .filter((e) => shown(e) && !e.disabled)
  .filter((e, i, all) => all.findIndex((other) => same(e, other)) === i);
const focused = document.activeElement;
const at = usable.findIndex((e) => same(e, focused));

// The browser's own ring is "auto". Any other must be as visible as WCAG 2.2 requires:
// 2 px, with a contrast of 3:1. A date is not checked, because the browser marks its day,
// month or year and has no ring for it.
if (at >= 0 && focused.type !== "date") {
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(focused);
  const ratio = contrast(read(outlineColor), background(focused.parentElement));
  if (outlineStyle !== "auto" && (outlineStyle === "none" || parseFloat(outlineWidth) < 2 || ratio < 3)) {
    problems.push(`${called(focused)}: focus cannot be seen, its outline is ${outlineStyle} ${outlineWidth}, contrast ${ratio.toFixed(2)}`);
  }
}
return { Usable: usable.map(called), Focused: at, Problems: problems };
