package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"example.com/sessions/internal/course"
)

// claims are the tests of a folder, and what their last run has shown.
type claims struct {
	root, folder string
	changed      func(*claim) // with the claim that has changed, or nil for all of them

	mu      sync.Mutex
	tests   []*course.Test
	ran     bool
	running bool
	race    bool
	broken  []string
	stop    context.CancelFunc
}

// run runs the tests. If they run already, it stops that run first.
func (c *claims) run(ctx context.Context, race bool) {
	c.mu.Lock()
	if c.stop != nil {
		c.stop()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c.stop = stop
	tests, err := course.ReadTests(filepath.Join(c.root, c.folder))
	c.tests, c.ran, c.running, c.race, c.broken = tests, true, err == nil, race, nil
	if err != nil {
		c.broken = []string{err.Error()}
	}
	c.mu.Unlock()
	c.changed(nil)
	if err != nil {
		return
	}
	var flags []string
	if race {
		flags = append(flags, "-race")
	}
	broken, err := course.Run(ctx, c.root, c.folder, tests, c.ended, flags...)
	if ctx.Err() != nil {
		return // another run has begun
	}
	if err != nil {
		broken = append(broken, err.Error())
	}
	c.mu.Lock()
	c.running, c.broken = false, broken
	c.mu.Unlock()
	c.changed(nil)
}

// ended takes over what a test is now, and says that it has changed.
func (c *claims) ended(t *course.Test, now course.Test) {
	c.mu.Lock()
	*t = now
	shown := c.claim(t)
	c.mu.Unlock()
	c.changed(&shown)
}

// again runs the tests again, if they have run.
func (c *claims) again(ctx context.Context) {
	c.mu.Lock()
	ran, race := c.ran, c.race
	c.mu.Unlock()
	if ran {
		c.run(ctx, race)
	}
}

// claim is one test as a page shows it.
type claim struct {
	ID, Words, Name, Why, Source string
	State                        string // "passed", "failed", "running" or ""
	Failure                      []string
}

// claimsView is what a page shows of the claims of a folder.
type claimsView struct {
	Card           string // the ID of the element with the number
	Claims         []claim
	Passed, Failed int
	Running, Ran   bool
	Broken         []string
	Next           *claim // the first that is not proven, if the tests have run
}

// Done reports whether all claims are proven.
func (v claimsView) Done() bool { return v.Ran && v.Passed == len(v.Claims) }

func (c *claims) view() claimsView {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tests == nil {
		c.tests, _ = course.ReadTests(filepath.Join(c.root, c.folder))
	}
	v := claimsView{Running: c.running, Ran: c.ran, Broken: c.broken[:min(len(c.broken), 10)]}
	for _, t := range c.tests {
		shown := c.claim(t)
		v.Claims = append(v.Claims, shown)
		switch {
		case t.Passed:
			v.Passed++
		case t.Failed:
			v.Failed++
		}
	}
	if first := course.First(c.tests); first != nil && c.ran && !c.running && len(c.broken) == 0 {
		shown := c.claim(first)
		v.Next = &shown
	}
	return v
}

func (c *claims) claim(t *course.Test) claim {
	shown := claim{
		ID: "claim-" + t.Name, Words: t.Claim(), Name: t.Name, Why: t.Why,
		Source: fmt.Sprintf("/source/%s/%s#L%d", c.folder, t.File, t.Line),
	}
	switch {
	case t.Passed:
		shown.State = "passed"
	case t.Failed:
		shown.State, shown.Failure = "failed", t.Failure()
	case c.running:
		shown.State = "running"
	}
	return shown
}

// cardID returns the ID of a folder's card on the page of the course.
func cardID(folder string) string { return "card-" + path.Base(folder) }

// trial is the result of an edit that was tried.
type trial struct {
	Claim      claim
	File, Link string // where the learner can make the edit
	Given      bool   // the block is a test that the guide gives
	Broken     []string
}

var testName = regexp.MustCompile(`\b(Test[A-Z]\w*)`)

// try makes the guide's edit number n, and runs the test that it breaks. The files on the
// disk stay as they are, because go test -overlay reads the changed ones elsewhere.
func (c *classroom) try(ctx context.Context, folder, guide string, n int) (trial, error) {
	blocks := tryBlocks(guide)
	if n < 0 || n >= len(blocks) {
		return trial{}, errors.New("the guide has no such edit")
	}
	block := blocks[n]
	name := testName.FindString(block.before)
	result := trial{Given: block.given}
	overlay := make(course.Overlay)
	if block.given {
		name = testName.FindString(block.text)
		file := folder + "/main_test.go"
		text, err := c.read(file)
		if err != nil {
			return trial{}, err
		}
		if !strings.Contains(text, "func "+name+"(") {
			overlay[file] = text + "\n" + block.text
		}
	} else {
		file, line, err := overlay.Apply(c.root, folder, course.ParseEdit(block.text))
		if err != nil {
			return trial{}, err
		}
		result.File, result.Link = fmt.Sprintf("%s, line %d", file, line), fmt.Sprintf("/source/%s#L%d", file, line)
	}
	dir, err := os.MkdirTemp(c.dir, "try-*")
	if err != nil {
		return trial{}, err
	}
	defer os.RemoveAll(dir)
	config, err := overlay.Write(c.root, dir)
	if err != nil {
		return trial{}, err
	}
	test := &course.Test{Name: name, File: "main_test.go"}
	// Some edits break a test of many requests at the same time, which can pass by luck.
	for run := 0; run < 5 && !test.Failed; run++ {
		*test = course.Test{Name: name, File: "main_test.go"}
		result.Broken, err = course.Run(ctx, c.root, folder, []*course.Test{test}, func(t *course.Test, now course.Test) { *t = now }, "-vet=off", "-run=^"+name+"$", "-overlay="+config)
		if err != nil || block.given || len(result.Broken) > 0 {
			break
		}
	}
	result.Claim = (&claims{folder: folder}).claim(test)
	return result, err
}

// tryBlock is a block of a guide that can be tried.
type tryBlock struct {
	before string // the paragraph before it
	text   string
	given  bool
}

// tryBlocks returns the blocks of a guide that can be tried.
func tryBlocks(guide string) (found []tryBlock) {
	parts := strings.Split("\n"+guide, "\n```")
	for i := 1; i < len(parts); i += 2 {
		info, text, _ := strings.Cut(parts[i], "\n")
		if info == "diff" || info == "go given" {
			paragraphs := strings.Split(strings.TrimSpace(parts[i-1]), "\n\n")
			found = append(found, tryBlock{paragraphs[len(paragraphs)-1], text + "\n", info == "go given"})
		}
	}
	return found
}

// tryButton returns the form that tries the block number n of a guide.
func tryButton(folder string, n int, given bool) template.HTML {
	word := "Try"
	if given {
		word = "Run this test"
	}
	return template.HTML(fmt.Sprintf(`<form class="live try" method="post" action="/try" data-into="try-%d"><input type="hidden" name="folder" value="%s"><input type="hidden" name="n" value="%[1]d"><button class="second">%[3]s</button></form><div id="try-%[1]d"></div>`,
		n, template.HTMLEscapeString(folder), word))
}
