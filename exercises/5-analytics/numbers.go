package main

import (
	"cmp"
	"slices"
	"time"
)

// newReport computes the report from the sums of the ledger.
func newReport(t totals) report {
	r := report{
		Since: t.since.UTC(), Sessions: t.visits, Open: t.open, Limit: t.limit, Early: t.early,
		Steps: commonest(&t.steps), Lengths: t.lengths, Depths: t.depths,
	}
	most := 0
	for p := range page(len(site)) {
		views := t.views(p)
		r.Pages[p] = pageCounts{Views: views, Entries: t.entries[p], Exits: t.exits[p]}
		r.Views += views
		most = max(most, views)
	}
	for p := range r.Pages {
		r.Pages[p].Bar = r.Pages[p].Views * barWidth / max(most, 1)
	}
	r.AllSteps = r.Views - r.Sessions // each view but the first one of a session ends a step
	visits := max(t.visits, 1)
	r.Length = time.Duration(t.seconds/int64(visits)) * time.Second
	r.Depth = float64(r.Views) / float64(visits)
	return r
}

// commonest returns the most common steps. Steps with the same count are in the order of
// their pages in site.
func commonest(counts *steps) []stepCount {
	var all []stepCount
	for from := range page(len(site)) {
		for to, n := range counts[from] {
			if n > 0 {
				all = append(all, stepCount{from.String(), page(to).String(), n})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b stepCount) int { return cmp.Compare(b.Count, a.Count) })
	return all[:min(maxSteps, len(all))]
}
