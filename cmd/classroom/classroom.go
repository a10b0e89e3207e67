package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"example.com/sessions/internal/course"
)

// withOwnAddresses is the lesson that speaks HTTPS at addresses of its own, and has a bench
// of its own.
const withOwnAddresses = "lessons/07-security"

// unit is a lesson or an exercise.
type unit struct {
	Folder string // lessons/05-cart
	Title  string // 05 · Cart
	About  string // what it shows
}

// IsExercise reports whether the learner writes the program.
func (u unit) IsExercise() bool { return strings.HasPrefix(u.Folder, "exercises/") }

// Name returns the last part of the folder's path.
func (u unit) Name() string { return path.Base(u.Folder) }

// classroom serves the pages. It runs one program at a time.
type classroom struct {
	ctx    context.Context
	root   string
	files  *os.Root
	site   string // the address of the program
	dir    string // what the classroom writes; it is removed at the end
	events *events
	units  []unit

	running sync.Mutex // held while another program takes its turn
	mu      sync.Mutex
	current *lesson
	claims  map[string]*claims // by the page's folder
	secrets map[string]string  // by the folder: a program keeps its secret when it runs again
}

// lesson is the program that runs now.
type lesson struct {
	unit   unit
	folder string // what is built: the unit's folder, or the learner's own
	*program
	wire  *wire
	bench bench
	end   func()
}

// Page returns the folder of the page that shows the program.
func (l *lesson) Page() string { return l.unit.Folder }

// newClassroom reads the course.
func newClassroom(ctx context.Context, root, site string) (*classroom, error) {
	files, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "classroom-*")
	if err != nil {
		return nil, err
	}
	c := &classroom{ctx: ctx, root: root, files: files, site: site, dir: dir, events: newEvents(), claims: make(map[string]*claims), secrets: make(map[string]string)}
	readme, err := c.read("README.md")
	if err != nil {
		return nil, err
	}
	row := regexp.MustCompile(`(?m)^\| \[([^\]]+)\]\(((?:lessons|exercises)/[\w-]+)/README\.md\)[^|]*\| ([^|]+) \|`)
	for _, found := range row.FindAllStringSubmatch(readme, -1) {
		c.units = append(c.units, unit{found[2], found[1], found[3]})
	}
	if len(c.units) == 0 {
		return nil, errors.New("README.md has no table of lessons")
	}
	return c, nil
}

// close ends the program that runs, and removes what the classroom has written.
func (c *classroom) close() {
	c.running.Lock()
	defer c.running.Unlock()
	if l := c.now(); l != nil {
		l.end()
	}
	c.files.Close()
	os.RemoveAll(c.dir)
}

// read returns the text of a file of the repository. A path cannot leave the repository.
func (c *classroom) read(file string) (string, error) {
	text, err := c.files.ReadFile(filepath.FromSlash(file))
	return strings.ReplaceAll(string(text), "\r\n", "\n"), err
}

// now returns the lesson that runs, or nil.
func (c *classroom) now() *lesson {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// unit returns the lesson or exercise of a folder.
func (c *classroom) unit(folder string) (unit, bool) {
	i := slices.IndexFunc(c.units, func(u unit) bool { return u.Folder == folder })
	if i < 0 {
		return unit{}, false
	}
	return c.units[i], true
}

// workingFolder returns the folder whose program runs and whose tests are the claims: the
// learner's own, if the learner has begun the exercise.
func (c *classroom) workingFolder(u unit) string {
	if u.IsExercise() && course.Begun(c.root, u.Folder) {
		return course.Mine(u.Folder)
	}
	return u.Folder
}

// claimsOf returns the claims of a lesson or exercise.
func (c *classroom) claimsOf(u unit) *claims {
	folder := c.workingFolder(u)
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.claims[u.Folder]; known != nil && known.folder == folder {
		return known
	}
	made := &claims{root: c.root, folder: folder}
	made.changed = func(one *claim) { c.showClaims(u, made, one) }
	c.claims[u.Folder] = made
	return made
}

// run ends the program that runs, and runs this one.
func (c *classroom) run(u unit) error {
	c.running.Lock()
	defer c.running.Unlock()
	folder := c.workingFolder(u)
	if l := c.now(); l != nil {
		if l.folder == folder {
			if l.Stopped() && l.Broken() == nil {
				l.again(func() { l.flags = nil })
			}
			return nil
		}
		l.end()
		l.mu.Lock()
		c.secrets[l.folder] = l.secret
		l.mu.Unlock()
	}
	secret := cmp.Or(c.secrets[folder], newSecret())
	ctx, cancel := context.WithCancel(c.ctx)
	l := &lesson{unit: u, folder: folder}
	c.events.drop(u.Folder)
	var server *http.Server
	if u.Folder == withOwnAddresses {
		l.program = newProgram(c.root, folder, c.dir, secret, c.site)
		l.program.log = func(string) {}
	} else {
		listener, err := net.Listen("tcp", c.site)
		if err != nil {
			cancel()
			return err
		}
		l.program = newProgram(c.root, folder, c.dir, secret, "")
		l.wire = newWire(l.program, c.cookieName(folder), func(x *exchange) { c.record(l, x) })
		l.program.log = func(line string) {
			l.wire.logged(line)
			// The program listens behind the proxy, where no one needs to look.
			if !strings.Contains(line, "listening on http://") {
				c.show(u.Folder, "add", "wire", "line", line)
			}
		}
		server = &http.Server{Handler: l.wire}
		go server.Serve(listener)
	}
	l.program.changed = func() { c.show(u.Folder, "replace", "state", "state", l) }
	ended := make(chan struct{})
	l.end = sync.OnceFunc(func() {
		cancel()
		if server != nil {
			server.Close()
		}
		<-ended
	})
	c.mu.Lock()
	c.current = l
	c.mu.Unlock()
	go func() {
		l.program.run(ctx, func() { go c.claimsOf(u).again(c.ctx) })
		close(ended)
	}()
	return nil
}

// cookieName returns the name of a program's cookie, as its source has it. If the source
// does not tell, the name is "": the first cookie that the program sets has it.
func (c *classroom) cookieName(folder string) string {
	files, _ := fs.Glob(c.files.FS(), folder+"/*.go")
	for _, file := range files {
		text, _ := c.read(file)
		if found := regexp.MustCompile(`(?:cookieName\s*=|\bName:)\s*"([\w-]+)"`).FindStringSubmatch(text); found != nil && !strings.HasSuffix(file, "_test.go") {
			return found[1]
		}
	}
	return ""
}

// record shows an exchange, and the verdict that the bench may have waited for.
func (c *classroom) record(l *lesson, x *exchange) {
	c.show(l.unit.Folder, "add", "wire", "exchange", x)
	if v := l.bench.judge(x); v != nil {
		c.show(l.unit.Folder, "replace", "verdict", "verdict", v)
	}
}

// showClaims shows the claims of a lesson on its page, or one of them, and their number on
// its card.
func (c *classroom) showClaims(u unit, all *claims, one *claim) {
	view := all.view()
	if one != nil {
		c.show(u.Folder, "replace", one.ID, "claim", one)
	} else {
		c.show(u.Folder, "replace", "claims", "claims", view)
	}
	view.Card = "count"
	c.show(u.Folder, "replace", "count", "count", view)
	view.Card = cardID(u.Folder)
	c.show("", "replace", view.Card, "count", view)
}

// show renders a template and sends it to the pages of a folder.
func (c *classroom) show(folder, mode, target, name string, data any) {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		log.Print(err)
		return
	}
	c.events.publish(folder, mode, target, out.String())
}

//go:embed pages.html style.css classroom.css classroom.js
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"shorten": shorten,
	"base":    path.Base,
}).ParseFS(assets, "pages.html"))
