package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	maxSteps = 10  // maximum number of steps in the report's list
	barWidth = 200 // of the longest bar, in the chart's units
	barStep  = 30  // from one bar to the next
)

// report is the data for the report's page.
type report struct {
	Since              time.Time
	Sessions, Views    int
	Open, Limit, Early int
	Length, Depth      string // averages
	Pages              []pageRow
	Steps              []row // the commonest first
	AllSteps           int
	Lengths, Depths    []row
	ChartHeight        int
}

type row struct {
	Name  string
	Count int
}

// pageRow is a page's row in the table, and its bar in the chart.
type pageRow struct {
	Name                  string
	Views, Entries, Exits int
	Y, Width              int // of the bar, in the chart's units
}

func newReport(t totals) report {
	r := report{
		Since: t.since.UTC(), Sessions: t.visits, Open: t.open, Limit: t.limit, Early: t.early,
		Lengths: rows(lengthClasses[:], t.lengths[:]), Depths: rows(depthClasses[:], t.depths[:]),
		ChartHeight: len(site) * barStep,
	}
	most := 0
	for p := range page(len(site)) {
		most = max(most, t.views(p))
	}
	for p := range page(len(site)) {
		views := t.views(p)
		r.Views += views
		bar := views * barWidth / max(most, 1)
		r.Pages = append(r.Pages, pageRow{
			Name: p.String(), Views: views, Entries: t.entries[p], Exits: t.exits[p],
			Y: int(p) * barStep, Width: bar,
		})
	}
	r.Steps = commonest(&t.steps)
	r.AllSteps = r.Views - r.Sessions
	visits := max(t.visits, 1)
	r.Length = (time.Duration(t.seconds/int64(visits)) * time.Second).String()
	r.Depth = fmt.Sprintf("%.1f pages", float64(r.Views)/float64(visits))
	return r
}

func rows(classes []class, counts []int) []row {
	var all []row
	for i, c := range classes {
		all = append(all, row{c.name, counts[i]})
	}
	return all
}

// commonest returns the most common steps. Steps with the same count are in the order of
// their pages in site.
func commonest(counts *steps) []row {
	var all []row
	for from := range page(len(site)) {
		for to, n := range counts[from] {
			if n > 0 {
				all = append(all, row{fmt.Sprintf("%v → %v", from, page(to)), n})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Compare(b.Count, a.Count) })
	return all[:min(maxSteps, len(all))]
}
