package torture

import (
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKilledLessonLosesNoAcknowledgedWrite kills lesson 08 (kill -9) while 8 clients
// use 4 sessions, starts it again with the same secret and directory, and looks for
// all that it had acknowledged. LESSON_KILLS=100 is torture.
func TestKilledLessonLosesNoAcknowledgedWrite(t *testing.T) {
	kills := size(t, "LESSON_KILLS", 3)
	dir, seeded := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	p := start(t, database, dir)
	visitors := make([]*visitor, 4)
	for i := range visitors {
		visitors[i] = newVisitor(t, i)
		visitors[i].login(t, p)
		visitors[i].mustBeKnown(t, p)
	}
	var answers atomic.Int64
	refused := 0
	for range kills {
		var load sync.WaitGroup
		for _, v := range visitors {
			load.Go(func() { v.visitUntilKilled(t, p, &answers) })
			load.Go(func() { v.writeUntilKilled(t, p, &answers) })
		}
		enough := answers.Load() + 20 + seeded.Int64N(80)
		eventually(t, "clients are answered", func() bool { return answers.Load() > enough || p.ended() })
		<-time.After(time.Duration(seeded.IntN(10_000)) * time.Microsecond)
		if p.ended() {
			t.Fatalf("the lesson ended by itself: %s", p.said(t))
		}
		p.kill()
		load.Wait()
		p = start(t, database, dir)
		for _, v := range visitors {
			refused += v.refused
			v.mustBeKnown(t, p)
		}
	}
	temps := temporaryFiles(t, dir)
	past := time.Now().Add(-2 * time.Minute)
	for _, name := range temps {
		if err := os.Chtimes(name, past, past); err != nil {
			t.Fatal(err)
		}
	}
	start(t, database, dir)
	if left := temporaryFiles(t, dir); len(left) > 0 {
		t.Errorf("%d temporary files are still there when they are two minutes old", len(left))
	}
	t.Logf("%d kills, %d acknowledged, %d answered 503, %d temporary files", kills, answers.Load(), refused, len(temps))
}

func temporaryFiles(t *testing.T, dir string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "files", "tmp")); err != nil {
		t.Fatal(err) // and not a pattern that matches nothing
	}
	names, err := filepath.Glob(filepath.Join(dir, "files", "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// visitor is somebody with a session of lesson 08, and what is known of it.
type visitor struct {
	number int
	client *http.Client // of both tabs

	mu         sync.Mutex // for what both tabs change
	counted    int        // visits that were acknowledged
	unanswered int        // visits since that may have been counted or not
	refused    int        // answers that were 503: the store took too long

	notes int // that were tried
	kept  int // the note that was acknowledged last
	tried int // a later one that may be kept or not, or the same
}

func newVisitor(t *testing.T, number int) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{number: number, client: &http.Client{
		Transport:     transport,
		Jar:           jar,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// note returns the text of a note, of 0 to 40 kB, which no other note begins with.
func (v *visitor) note(n int) string {
	if n == 0 {
		return ""
	}
	return strings.Repeat(fmt.Sprintf("note %d of visitor %d, ", n, v.number), 1+n*397%2000)
}

// login makes the session one that the store knows the owner of.
func (v *visitor) login(t *testing.T, p *process) {
	t.Helper()
	status, body, err := v.send(p, "POST", "/login", url.Values{"username": {"admin"}, "password": {"password"}})
	if err != nil || status != http.StatusSeeOther {
		t.Fatalf("the login: %d, %v, %s", status, err, body)
	}
}

// send returns an answer that arrived whole, or an error.
func (v *visitor) send(p *process, method, path string, form url.Values) (status int, body string, err error) {
	r, err := http.NewRequest(method, p.url()+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := v.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

// visitUntilKilled is a tab that counts.
func (v *visitor) visitUntilKilled(t *testing.T, p *process, answers *atomic.Int64) {
	for v.visit(t, p, answers) {
	}
}

// visit returns false when there is no answer.
func (v *visitor) visit(t *testing.T, p *process, answers *atomic.Int64) bool {
	v.mu.Lock()
	v.unanswered++ // until it is
	v.mu.Unlock()
	status, _, err := v.send(p, "GET", "/", nil)
	if err != nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch status {
	case http.StatusOK:
		v.unanswered--
		v.counted++
		answers.Add(1)
	case http.StatusServiceUnavailable:
		v.refused++
	default:
		t.Errorf("a visit is answered %d", status)
	}
	return true
}

// writeUntilKilled is a tab that keeps notes, and counts too. After a 503 it only
// counts: else there would be two notes in doubt.
func (v *visitor) writeUntilKilled(t *testing.T, p *process, answers *atomic.Int64) {
	for v.tried == v.kept {
		v.notes++
		v.tried = v.notes
		status, _, err := v.send(p, "POST", "/note", url.Values{"note": {v.note(v.tried)}})
		if err != nil {
			return
		}
		switch status {
		case http.StatusSeeOther:
			v.kept = v.tried
			answers.Add(1)
		case http.StatusServiceUnavailable:
			v.mu.Lock()
			v.refused++
			v.mu.Unlock()
		default:
			t.Errorf("a note is answered %d", status)
		}
		if !v.visit(t, p, answers) {
			return
		}
	}
	v.visitUntilKilled(t, p, answers)
}

var (
	visitsShown = regexp.MustCompile(`You have visited this page (\d+) times`)
	noteShown   = regexp.MustCompile(`(?s)<textarea[^>]*>\n(.*)</textarea>`)
)

// shown returns what the lesson's home page shows, which counts as a visit. A session
// that nobody knows any more shows 1, and no note.
func (v *visitor) shown(t *testing.T, p *process) (visits int, note string) {
	t.Helper()
	status, body, err := v.send(p, "GET", "/", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("the home page: %d, %v", status, err)
	}
	count, text := visitsShown.FindStringSubmatch(body), noteShown.FindStringSubmatch(body)
	if count == nil || text == nil {
		t.Fatalf("the home page is another: %s", body)
	}
	visits, err = strconv.Atoi(count[1])
	if err != nil {
		t.Fatal(err)
	}
	return visits, html.UnescapeString(text[1])
}

// mustBeKnown looks at the session, and takes what it finds for acknowledged.
func (v *visitor) mustBeKnown(t *testing.T, p *process) {
	t.Helper()
	visits, note := v.shown(t, p)
	v.counted++
	if visits < v.counted || visits > v.counted+v.unanswered {
		t.Errorf("visitor %d: %d visits were acknowledged and %d not, and %d are counted", v.number, v.counted, v.unanswered, visits)
	}
	switch note {
	case v.note(v.tried):
		v.kept = v.tried
	case v.note(v.kept):
	default:
		t.Errorf("visitor %d: note %d was acknowledged and %d tried, and this is kept: %d bytes, %.100q", v.number, v.kept, v.tried, len(note), note)
	}
	v.counted, v.unanswered, v.refused, v.tried = visits, 0, 0, v.kept
	if status, body, err := v.send(p, "GET", "/sessions", nil); err != nil || status != http.StatusOK {
		t.Errorf("visitor %d is not signed in any more: %d, %v, %s", v.number, status, err, body)
	}
}
