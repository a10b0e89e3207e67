// What the other scripts share. Each of them is the body of a function, after this.
const problems = [];
const root = document.documentElement;
const shown = (e) => e.checkVisibility({ visibilityProperty: true });
const called = (e) => `<${e.localName}${e.id && "#" + e.id}> "${(e.innerText || e.value || "").trim().slice(0, 30)}"`;

// The contrast of WCAG 2. The colours are computed ones: rgb(r, g, b) or rgba(r, g, b, a).
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

// The colour behind everything: white, or nearly black with color-scheme: dark.
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
  if (style.backgroundImage !== "none" || style.opacity !== "1") problems.push(`${called(e)}: contrast is unknown with an image or with opacity`);
  return over(read(style.backgroundColor), background(e.parentElement));
};
