// What the other scripts share. They are bodies of functions, and this comes first.
const problems = [];
const root = document.documentElement;
const shown = (e) => e.checkVisibility({ visibilityProperty: true });
const called = (e) => `<${e.localName}${e.id && "#" + e.id}> "${(e.innerText || e.value || "").trim().slice(0, 30)}"`;

// Contrast as WCAG 2 defines it, of colours as they are computed: rgb(r, g, b) or
// rgba(r, g, b, a).
const read = (text) => {
  const [r, g, b, a = 1] = text.match(/^rgba?\((.*)\)$/)?.[1].split(",").map(Number) ?? [NaN];
  return { rgb: [r, g, b], a };
};
const over = (top, below) => ({ rgb: top.rgb.map((c, i) => c * top.a + below.rgb[i] * (1 - top.a)), a: 1 });
const luminance = ({ rgb }) => {
  const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

// What is behind everything: white, or with color-scheme: dark nearly black.
const canvas = (() => {
  const probe = root.appendChild(document.createElement("div"));
  probe.style.backgroundColor = "Canvas";
  const colour = read(getComputedStyle(probe).backgroundColor);
  probe.remove();
  return colour;
})();
const background = (e) => {
  if (!e) return canvas;
  const style = getComputedStyle(e);
  if (style.backgroundImage !== "none" || style.opacity !== "1") problems.push(`${called(e)}: contrast cannot be told with an image or with opacity`);
  return over(read(style.backgroundColor), background(e.parentElement));
};
