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

// TestKilledLessonLosesNoAcknowledgedWrite kills lesson 08 (kill -9) while 8 clients use
// 4 sessions, and starts it again with the same secret and directory. Then it checks that
// everything is there that the lesson had acknowledged. LESSON_KILLS is the number of
// kills.
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
	var acknowledged atomic.Int64
	refused := 0
	for range kills {
		var load sync.WaitGroup
		for _, v := range visitors {
			load.Go(func() { v.visitUntilKilled(t, p, &acknowledged) })
			load.Go(func() { v.writeUntilKilled(t, p, &acknowledged) })
		}
		enough := acknowledged.Load() + 20 + seeded.Int64N(80)
		eventually(t, "clients get responses", func() bool { return acknowledged.Load() > enough || p.ended() })
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
		t.Errorf("%d temporary files are left that are two minutes old, want none", len(left))
	}
	t.Logf("%d kills, %d acknowledged, %d with status 503, %d temporary files", kills, acknowledged.Load(), refused, len(temps))
}

// temporaryFiles returns the names of the store's temporary files.
func temporaryFiles(t *testing.T, dir string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "files", "tmp")); err != nil {
		t.Fatal(err) // because the pattern below would match nothing
	}
	names, err := filepath.Glob(filepath.Join(dir, "files", "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// visitor is a visitor with a session of lesson 08, and what the test knows of the session.
type visitor struct {
	number int
	client *http.Client // of both tabs

	mu         sync.Mutex // for what both tabs change
	counted    int        // visits that were acknowledged
	unanswered int        // visits since then, which may have been counted or not
	refused    int        // responses that were 503, because the store took too long

	notes int // how many notes were sent
	kept  int // the note that was acknowledged last
	tried int // the note that was sent last, which may have been saved or not
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

// note returns the text of a note, of 0 to 40 kB. No other note begins with this text.
func (v *visitor) note(n int) string {
	if n == 0 {
		return ""
	}
	return strings.Repeat(fmt.Sprintf("note %d of visitor %d, ", n, v.number), 1+n*397%2000)
}

// login logs in, so that the session has an owner.
func (v *visitor) login(t *testing.T, p *process) {
	t.Helper()
	status, body, err := v.send(p, "POST", "/login", url.Values{"username": {"admin"}, "password": {"password"}})
	if err != nil || status != http.StatusSeeOther {
		t.Fatalf("the login: status %d, %v, want 303: %.600s", status, err, body)
	}
}

// send sends a request. It returns a response that arrived whole, or an error.
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

// visitUntilKilled is a tab that makes visits.
func (v *visitor) visitUntilKilled(t *testing.T, p *process, acknowledged *atomic.Int64) {
	for v.visit(t, p, acknowledged) {
	}
}

// visit makes a visit. It returns false if no response came.
func (v *visitor) visit(t *testing.T, p *process, acknowledged *atomic.Int64) bool {
	v.mu.Lock()
	v.unanswered++ // until the response comes
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
		acknowledged.Add(1)
	case http.StatusServiceUnavailable:
		v.refused++
	default:
		t.Errorf("a visit: status %d, want 200 or 503", status)
	}
	return true
}

// writeUntilKilled is a tab that saves notes and makes visits. After a 503 it only makes
// visits, so that no more than one note is in doubt.
func (v *visitor) writeUntilKilled(t *testing.T, p *process, acknowledged *atomic.Int64) {
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
			acknowledged.Add(1)
		case http.StatusServiceUnavailable:
			v.mu.Lock()
			v.refused++
			v.mu.Unlock()
		default:
			t.Errorf("a note: status %d, want 303 or 503", status)
		}
		if !v.visit(t, p, acknowledged) {
			return
		}
	}
	v.visitUntilKilled(t, p, acknowledged)
}

var (
	visitsShown = regexp.MustCompile(`You have visited this page (\d+) times`)
	noteShown   = regexp.MustCompile(`(?s)<textarea[^>]*>\n(.*)</textarea>`)
)

// shown returns what the lesson's home page shows. It counts as a visit. If the session is
// lost, the page shows 1 visit and no note.
func (v *visitor) shown(t *testing.T, p *process) (visits int, note string) {
	t.Helper()
	status, body, err := v.send(p, "GET", "/", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("the home page: status %d, %v, want 200", status, err)
	}
	count, text := visitsShown.FindStringSubmatch(body), noteShown.FindStringSubmatch(body)
	if count == nil || text == nil {
		t.Fatalf("the home page is %.600s, want visits and a note", body)
	}
	visits, err = strconv.Atoi(count[1])
	if err != nil {
		t.Fatal(err)
	}
	return visits, html.UnescapeString(text[1])
}

// mustBeKnown fails the test if the session lacks something that was acknowledged. From
// then on, what the session has counts as acknowledged.
func (v *visitor) mustBeKnown(t *testing.T, p *process) {
	t.Helper()
	visits, note := v.shown(t, p)
	v.counted++
	if visits < v.counted || visits > v.counted+v.unanswered {
		t.Errorf("visitor %d: %d visits, want %d to %d", v.number, visits, v.counted, v.counted+v.unanswered)
	}
	switch note {
	case v.note(v.tried):
		v.kept = v.tried
	case v.note(v.kept):
	default:
		t.Errorf("visitor %d: a note of %d bytes, %.100q, want note %d, which was acknowledged, or %d, which was sent", v.number, len(note), note, v.kept, v.tried)
	}
	v.counted, v.unanswered, v.refused, v.tried = visits, 0, 0, v.kept
	if status, body, err := v.send(p, "GET", "/sessions", nil); err != nil || status != http.StatusOK {
		t.Errorf("visitor %d, the sessions page: status %d, %v, want 200: %.600s", v.number, status, err, body)
	}
}
