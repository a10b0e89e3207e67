// Returns the elements that break a rule of axe-core, in sentences. It does not look into
// frames, because a frame's page is checked as a page of its own.
return axe.run(document, { resultTypes: ["violations"], iframes: false, preload: false }).then(({ violations }) =>
  violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `axe-core: ${id}: ${html.slice(0, 200)}: ${failureSummary.replace(/\s+/g, " ")}`)));
