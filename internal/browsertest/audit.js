// Returns what is wrong with the page, in sentences.
// WIDTH is the width that the window should have, in CSS pixels.
const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);

// What a page says about itself.
if (!root.lang) problems.push("<html> has no lang");
if (!document.title.trim()) problems.push("the title is empty");
if (!document.querySelector("link[rel=icon]")) problems.push("the browser will ask for a /favicon.ico, because there is no icon");
if (innerWidth !== WIDTH) problems.push(`it is laid out ${innerWidth} px wide: is there a viewport?`);
if (root.scrollWidth > root.clientWidth) {
  const wide = all("body *").filter((e) => e.getBoundingClientRect().right > root.clientWidth);
  problems.push(`it scrolls sideways, ${root.scrollWidth} px in ${root.clientWidth}: ${wide.map(called)}`);
}

// Headings are the outline that screen readers use to move around.
const levels = all("h1, h2, h3, h4, h5, h6").map((e) => Number(e.localName[1]));
if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) problems.push(`headings are ${levels}: the first, and no other, must be h1`);
levels.forEach((level, i) => level > levels[i - 1] + 1 && problems.push(`headings are ${levels}: a level is left out`));

// A placeholder is not a label, because it goes away when the visitor types.
for (const field of all("input, select, textarea")) {
  if (!field.labels.length && !field.ariaLabel) problems.push(`${called(field)} has no label`);
}
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
ids.forEach((id, i) => ids.indexOf(id) < i && problems.push(`two elements have the id ${id}`));

// The contrast of all text.
const check = (e, text) => {
  const behind = background(e);
  const ratio = contrast(over(read(text), behind), behind);
  if (!(ratio >= 4.5)) problems.push(`${called(e)}: contrast is ${ratio.toFixed(2)}, want 4.5, ${text} on ${behind.rgb.map(Math.round)}`);
};

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const withText = new Set(all("input:not([type=checkbox], [type=radio]), select"));
while (texts.nextNode()) {
  const e = texts.currentNode.parentElement;
  if (texts.currentNode.data.trim() && e.localName !== "option" && shown(e)) withText.add(e);
}
for (const e of withText) {
  if (!e.disabled) check(e, getComputedStyle(e).color);
  if (e.placeholder) check(e, getComputedStyle(e, "::placeholder").color);
}
return [...new Set(problems)];
