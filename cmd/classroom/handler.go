package main

import (
	"bytes"
	"errors"
	"html/template"
	"io/fs"
	"log"
	"net"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"example.com/sessions/internal/course"
)

// policy lets a page load its own files and show the lesson in a frame, and nothing else.
// No script can stand in a page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; frame-src http://"

// handler returns the classroom's site.
func (c *classroom) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.coursePage)
	mux.HandleFunc("GET /lessons/{name}", c.unitPage)
	mux.HandleFunc("GET /exercises/{name}", c.unitPage)
	mux.HandleFunc("GET /read/{file...}", c.readPage)
	mux.HandleFunc("GET /source/{file...}", c.sourcePage)
	mux.HandleFunc("GET /files/{file...}", c.picture)
	mux.HandleFunc("GET /events", c.events.serve)
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.FileServerFS(assets)))
	mux.HandleFunc("GET /bench", c.benchPart)
	mux.HandleFunc("POST /bench", c.act)
	mux.HandleFunc("POST /run", c.withUnit(c.runUnit))
	mux.HandleFunc("POST /restart", c.withUnit(c.restart))
	mux.HandleFunc("POST /claims", c.withUnit(c.runClaims))
	mux.HandleFunc("POST /all", c.runAll)
	mux.HandleFunc("POST /try", c.withUnit(c.tryEdit))
	mux.HandleFunc("POST /begin", c.withUnit(c.begin))
	// A lesson's page is of another origin, because its port differs. It cannot post here.
	protected := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy+c.site)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !isLocal(r.Host) {
			http.Error(w, "The classroom is at localhost only.", http.StatusForbidden)
			return
		}
		// The bench changes the cookies of localhost, so the page must be there too.
		if name, port, found := strings.Cut(r.Host, ":"); found && name != "localhost" && r.Method == http.MethodGet {
			http.Redirect(w, r, "http://localhost:"+port[strings.LastIndex(port, ":")+1:]+r.URL.RequestURI(), http.StatusSeeOther)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		protected.ServeHTTP(w, r)
	})
}

// view is what a page shows.
type view struct {
	Title  string
	Units  []unitView
	Before unit // the one before this
	After  unit // the one after it
	Unit   unit
	Claims claimsView
	Lesson *lesson // nil if it does not run
	Site   string  // the address of the program
	Own    bool    // the program runs at addresses of its own

	Guide, Solution template.HTML
	Begun           bool
	HasStarter      bool
	Working         string // the folder that is built and tested
	Sources         []string

	File  string // of a page of source
	Parts []part
	Files []string // of a folder
	Error string
}

// Port returns the port of the program's address.
func (v view) Port() string {
	_, port, _ := net.SplitHostPort(v.Site)
	return port
}

type unitView struct {
	unit
	Claims claimsView
}

// page sends a whole page.
func (c *classroom) page(w http.ResponseWriter, status int, name string, v view) {
	v.Site = c.site
	c.fragment(w, status, name, v)
}

// fragment sends a page, or a piece of one.
func (c *classroom) fragment(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		log.Print(err)
		http.Error(w, "The page cannot be shown. The terminal says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

// coursePage shows all lessons and exercises.
func (c *classroom) coursePage(w http.ResponseWriter, r *http.Request) {
	v := view{Title: "The course"}
	for _, u := range c.units {
		claims := c.claimsOf(u).view()
		claims.Card = cardID(u.Folder)
		v.Units = append(v.Units, unitView{u, claims})
	}
	c.page(w, http.StatusOK, "course", v)
}

// unitPage shows a lesson or an exercise.
func (c *classroom) unitPage(w http.ResponseWriter, r *http.Request) {
	u, ok := c.unit(strings.Trim(r.URL.Path, "/"))
	if !ok {
		c.notFound(w)
		return
	}
	v := view{Title: u.Title, Unit: u, Own: u.Folder == withOwnAddresses, Claims: c.claimsOf(u).view(), Working: c.workingFolder(u)}
	v.Claims.Card = "count"
	v.Begun, v.HasStarter = v.Working != u.Folder, course.HasStarter(c.root, u.Folder)
	if l := c.now(); l != nil && l.folder == v.Working {
		v.Lesson = l
	}
	i := slices.Index(c.units, u)
	if i > 0 {
		v.Before = c.units[i-1]
	}
	if i+1 < len(c.units) {
		v.After = c.units[i+1]
	}
	v.Sources = c.sources(v.Working)
	var err, err2 error
	v.Guide, err = c.render(u.Folder + "/README.md")
	if u.IsExercise() {
		v.Solution, err2 = c.render(u.Folder + "/SOLUTION.md")
	}
	if err := errors.Join(err, err2); err != nil {
		v.Error = err.Error()
	}
	c.page(w, http.StatusOK, "lesson", v)
}

// render returns a page of Markdown as HTML, with links that lead to the classroom's pages.
func (c *classroom) render(file string) (template.HTML, error) {
	text, err := c.read(file)
	if err != nil {
		return "", err
	}
	folder := path.Dir(file)
	tests := make(map[string]string)
	if u, ok := c.unit(folder); ok {
		for _, shown := range c.claimsOf(u).view().Claims {
			tests[shown.Name] = "/" + folder + "#" + shown.ID
		}
	}
	tried := 0
	d := document{
		link: func(target string) string { return c.link(folder, target) },
		test: func(name string) string { return tests[name] },
		after: func(info, text string) template.HTML {
			if info != "diff" && info != "go given" {
				return ""
			}
			tried++
			return tryButton(folder, tried-1, info == "go given")
		},
	}
	return d.render(text)
}

// link returns where a link of a page in a folder leads.
func (c *classroom) link(folder, target string) string {
	if strings.Contains(target, ":") || strings.HasPrefix(target, "#") {
		return strings.Replace(target, "http://localhost:8080", "http://"+c.site, 1)
	}
	target, fragment, _ := strings.Cut(target, "#")
	if fragment != "" {
		fragment = "#" + fragment
	}
	file := path.Join(folder, target)
	if u, ok := c.unit(strings.TrimSuffix(file, "/README.md")); ok {
		return "/" + u.Folder + fragment
	}
	switch path.Ext(file) {
	case ".md":
		return "/read/" + file + fragment
	case ".svg", ".png":
		return "/files/" + file
	}
	return "/source/" + file + fragment
}

// mayRead matches the folders whose files the classroom shows.
var mayRead = regexp.MustCompile(`^(lessons|exercises|_mine|internal|cmd|docs)(/[\w.-]+)+$|^[\w-]+(\.md|_test\.go)?$`)

// file returns the text of the file that a request names.
func (c *classroom) file(r *http.Request, extensions ...string) (name, text string, ok bool) {
	name = r.PathValue("file")
	if !fs.ValidPath(name) || !mayRead.MatchString(name) || !slices.Contains(extensions, path.Ext(name)) {
		return "", "", false
	}
	text, err := c.read(name)
	return name, text, err == nil
}

// readPage shows a page of prose, such as docs/package.md.
func (c *classroom) readPage(w http.ResponseWriter, r *http.Request) {
	name, text, ok := c.file(r, ".md")
	if !ok {
		c.notFound(w)
		return
	}
	guide, err := c.render(name)
	v := view{Title: strings.TrimPrefix(strings.SplitN(text, "\n", 2)[0], "# "), Guide: guide}
	if err != nil {
		v.Error = err.Error()
	}
	c.page(w, http.StatusOK, "read", v)
}

// sourcePage shows a source file with its comments beside the code, or the files of a
// folder.
func (c *classroom) sourcePage(w http.ResponseWriter, r *http.Request) {
	if folder := strings.TrimSuffix(r.PathValue("file"), "/"); fs.ValidPath(folder) && mayRead.MatchString(folder) {
		if files := c.sources(folder); len(files) > 0 {
			c.page(w, http.StatusOK, "folder", view{Title: folder, File: folder, Files: files})
			return
		}
	}
	name, text, ok := c.file(r, ".go", ".html", ".css", ".js", ".md", "")
	if !ok {
		c.notFound(w)
		return
	}
	v := view{Title: name, File: name, Parts: plainLines(text), Sources: c.sources(path.Dir(name))}
	v.Before, _ = c.unit(path.Dir(name))
	if path.Ext(name) == ".go" {
		imported := c.names("internal/session")
		if parts, err := annotate(text, c.names(path.Dir(name)), imported); err == nil {
			v.Parts = parts
		} else {
			v.Error = err.Error()
		}
	}
	c.page(w, http.StatusOK, "source", v)
}

// names returns the names that a folder declares.
func (c *classroom) names(folder string) names {
	texts := make(map[string]string)
	for _, file := range c.sources(folder) {
		if path.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go") {
			texts[file], _ = c.read(file)
		}
	}
	return readNames(texts)
}

// sources returns the source files of a folder: first those that docs/package.md names, in
// its order, then main.go, then the others, and tests last.
func (c *classroom) sources(folder string) []string {
	order, _ := c.read("docs/package.md")
	rank := func(file string) int {
		at := strings.Index(order, "/"+path.Base(file))
		switch {
		case strings.HasSuffix(file, "_test.go"):
			return 1 << 30
		case strings.HasPrefix(file, "internal/session/") && at >= 0:
			return at
		case path.Ext(file) == ".md":
			return 1<<30 + 1
		case path.Base(file) == "main.go":
			return 1 << 28
		}
		return 1 << 29
	}
	var files []string
	found, _ := fs.ReadDir(c.files.FS(), folder)
	for _, entry := range found {
		if !entry.IsDir() && isSource(entry.Name()) {
			files = append(files, path.Join(folder, entry.Name()))
		}
	}
	slices.SortStableFunc(files, func(a, b string) int { return rank(a) - rank(b) })
	return files
}

// picture sends a drawing or a screenshot.
func (c *classroom) picture(w http.ResponseWriter, r *http.Request) {
	name, text, ok := c.file(r, ".svg", ".png")
	if !ok {
		c.notFound(w)
		return
	}
	w.Header().Set("Content-Type", map[string]string{".svg": "image/svg+xml", ".png": "image/png"}[path.Ext(name)])
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	w.Write([]byte(text))
}

func (c *classroom) notFound(w http.ResponseWriter) {
	c.page(w, http.StatusNotFound, "missing", view{Title: "Not found"})
}

// withUnit passes the lesson or exercise on that a form names.
func (c *classroom) withUnit(next func(http.ResponseWriter, *http.Request, unit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, ok := c.unit(r.PostFormValue("folder"))
		if !ok {
			c.notFound(w)
			return
		}
		next(w, r, u)
	}
}

// answer answers a form with a piece of a page. Without JavaScript, it is a page of its own.
func (c *classroom) answer(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	if r.Header.Get("Fragment") != "" {
		c.fragment(w, status, name, data)
		return
	}
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		log.Print(err)
	}
	u, _ := c.unit(r.PostFormValue("folder"))
	c.page(w, status, "answer", view{Title: "Answer", File: u.Folder, Guide: template.HTML(out.String())})
}

// done answers a form. A script needs nothing more, and other browsers go back to the page.
func done(w http.ResponseWriter, r *http.Request, u unit) {
	if r.Header.Get("Fragment") != "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, "/"+u.Folder, http.StatusSeeOther)
}

func (c *classroom) runUnit(w http.ResponseWriter, r *http.Request, u unit) {
	if err := c.run(u); err != nil {
		c.problem(w, r, http.StatusConflict, "The program cannot run: "+err.Error()+". Does another program run there? End it, or start the classroom with another -site.")
		return
	}
	done(w, r, u)
}

// problem answers with one sentence.
func (c *classroom) problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	c.answer(w, r, status, "problem", strings.ToUpper(text[:1])+text[1:])
}

// restart starts the program again, with the flags of the form.
func (c *classroom) restart(w http.ResponseWriter, r *http.Request, u unit) {
	l := c.now()
	if l == nil || l.unit != u {
		c.problem(w, r, http.StatusConflict, "The program does not run.")
		return
	}
	flags := strings.Fields(r.PostFormValue("flags"))
	if len(flags) > 0 && flags[0][0] != '-' || slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(strings.TrimLeft(f, "-"), "addr") }) {
		c.problem(w, r, http.StatusBadRequest, "Flags begin with a hyphen, such as -lifetime 20s. The classroom chooses the address itself.")
		return
	}
	l.again(func() { l.flags = flags })
	done(w, r, u)
}

func (c *classroom) runClaims(w http.ResponseWriter, r *http.Request, u unit) {
	go c.claimsOf(u).run(c.ctx, r.PostFormValue("race") != "")
	done(w, r, u)
}

// runAll runs the tests of one folder after the other.
func (c *classroom) runAll(w http.ResponseWriter, r *http.Request) {
	go func() {
		for _, u := range c.units {
			if c.ctx.Err() == nil {
				c.claimsOf(u).run(c.ctx, false)
			}
		}
	}()
	done(w, r, unit{})
}

func (c *classroom) tryEdit(w http.ResponseWriter, r *http.Request, u unit) {
	n, err := strconv.Atoi(r.PostFormValue("n"))
	guide, err2 := c.read(u.Folder + "/README.md")
	if u.IsExercise() {
		guide, err2 = c.read(u.Folder + "/SOLUTION.md")
	}
	if err := errors.Join(err, err2); err != nil {
		c.problem(w, r, http.StatusBadRequest, "There is no such edit.")
		return
	}
	result, err := c.try(r.Context(), u.Folder, guide, n)
	if err != nil {
		c.problem(w, r, http.StatusConflict, err.Error()+".")
		return
	}
	c.answer(w, r, http.StatusOK, "trial", result)
}

// begin gives the learner a folder for an exercise.
func (c *classroom) begin(w http.ResponseWriter, r *http.Request, u unit) {
	if err := course.Begin(c.root, u.Folder); err != nil {
		c.problem(w, r, http.StatusConflict, err.Error()+".")
		return
	}
	c.runUnit(w, r, u)
}

// benchView is what the bench shows.
type benchView struct {
	Name   string
	Value  string
	Values string // the JSON in it, or ""
	HasID  bool   // there is a session ID in it instead
}

// benchPart shows the cookie that the visitor has now.
func (c *classroom) benchPart(w http.ResponseWriter, r *http.Request) {
	l := c.now()
	if l == nil || l.wire == nil || l.unit.Folder != r.FormValue("folder") {
		c.problem(w, r, http.StatusConflict, "The program does not run.")
		return
	}
	v := benchView{Name: l.wire.cookieName()}
	if cookies := r.CookiesNamed(v.Name); len(cookies) > 0 {
		v.Value = cookies[0].Value
		cut := l.wire.cut(cookies[0])
		v.HasID = cut.HasID
		if cut.values != nil {
			v.Values = cut.Decoded
		}
	}
	c.fragment(w, http.StatusOK, "bench", v)
}

// act changes the visitor's cookie.
func (c *classroom) act(w http.ResponseWriter, r *http.Request) {
	l := c.now()
	if l == nil || l.wire == nil || l.unit.Folder != r.PostFormValue("folder") {
		c.problem(w, r, http.StatusConflict, "The program does not run.")
		return
	}
	name, value := l.wire.cookieName(), ""
	if cookies := r.CookiesNamed(name); len(cookies) > 0 {
		value = cookies[0].Value
	}
	action := r.PostFormValue("action")
	v, err := l.bench.act(action, name, value, r.PostFormValue("values"))
	if err != nil {
		c.problem(w, r, http.StatusConflict, err.Error()+".")
		return
	}
	// First this, so that the verdict of the next request replaces it.
	c.show(l.unit.Folder, "replace", "verdict", "verdict", &v)
	switch action {
	case "same":
		l.again(func() {})
	case "other":
		l.again(func() { l.secret = newSecret() })
	case "copy":
	default:
		l.wire.set(w, v.After)
	}
	done(w, r, l.unit)
}
