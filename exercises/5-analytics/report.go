package main

import "time"

// This file is a part of the task: the data that the template of the report needs, and a
// function that finds a number's class. Nothing in it counts.

const (
	maxSteps = 10  // maximum number of steps in the report's list
	barWidth = 200 // of the widest bar, in the chart's units
)

// report is the data of the report's page. The template "report" shows it. An open session
// is in all numbers, as if it had ended with its latest view.
type report struct {
	Since    time.Time     // when the program started
	Views    int           // of all pages together
	Sessions int           // those that are open, and those that have ended
	Open     int           // sessions that are open
	Limit    int           // maximum number of open sessions
	Early    int           // sessions that ended early, because there were too many
	Length   time.Duration // average length of a session, rounded down to whole seconds
	Depth    float64       // average number of views in a session

	Pages    [len(site)]pageCounts // in the order of site
	Steps    []stepCount           // at most maxSteps, the most common one first
	AllSteps int                   // all steps, also those that are not in the list

	Lengths [len(lengthClasses)]int // sessions in each class
	Depths  [len(depthClasses)]int  // sessions in each class
}

// pageCounts has the numbers of a page, and how wide its bar is in the chart, rounded down.
type pageCounts struct{ Views, Entries, Exits, Bar int }

// stepCount says how often visitors went from one page to another. From and To are names
// of pages, such as Home. Steps with the same count are in the order of site: first by
// From, then by To.
type stepCount struct {
	From, To string
	Count    int
}

// class is a range of numbers. It ends where the next class begins.
type class struct {
	Name string
	From int
}

var lengthClasses = [...]class{ // in seconds
	{"Under 1 minute", 0}, {"1 to 5 minutes", 60}, {"5 to 15 minutes", 5 * 60},
	{"15 to 60 minutes", 15 * 60}, {"1 hour and more", 60 * 60},
}

var depthClasses = [...]class{ // in views
	{"1 page", 1}, {"2 or 3 pages", 2}, {"4 to 6 pages", 4},
	{"7 to 12 pages", 7}, {"13 to 50 pages", 13}, {"Over 50 pages", 51},
}

// classOf returns the index of the class that contains n, for instance
// classOf(depthClasses[:], views).
func classOf(classes []class, n int) int {
	i := len(classes) - 1
	for i > 0 && n < classes[i].From {
		i--
	}
	return i
}
