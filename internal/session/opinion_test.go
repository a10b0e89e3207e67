package session_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

// This file compares verdicts: which cookies a real Flask accepts, and which ones this
// package accepts. docs/limits.md lists where they differ.

const (
	signedAt = 1_700_000_000     // when the cookies are signed, in Unix seconds
	lifetime = 31 * 24 * 60 * 60 // seconds; the default here and in Flask
)

var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New}

// question is a Cookie header that a server gets at some time.
type question struct {
	how          string // the header was made
	hash         string // "sha1" or "sha256"
	now          int64  // in Unix seconds
	header       string
	ours, theirs opinion
}

// MarshalJSON writes the question for testdata/flask_opinion.py. Each byte of the header
// is one character, as in WSGI.
func (q *question) MarshalJSON() ([]byte, error) {
	var header []rune
	for i := range len(q.header) {
		header = append(header, rune(q.header[i]))
	}
	return json.Marshal(map[string]any{"hash": q.hash, "now": q.now, "open": string(header)})
}

// opinion is what one side makes of a Cookie header.
type opinion struct {
	Verdict   string          `json:"verdict"` // accepted, refused, or failed with a 500
	Permanent bool            `json:"permanent"`
	Values    json.RawMessage `json:"values"` // nil if JSON has no such values
	Why       string          `json:"why"`
}

// cookie is the value of a signed session.
type cookie struct {
	hash, payload, timestamp, signature string
}

func newCookie(hash, value string) cookie {
	message, signature, _ := cutLast(value)
	payload, timestamp, _ := cutLast(message)
	return cookie{hash, payload, timestamp, signature}
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func (c cookie) value() string { return c.payload + "." + c.timestamp + "." + c.signature }

// signed returns the cookie with a valid signature.
func (c cookie) signed() string { return seal(hashes[c.hash], c.payload+"."+c.timestamp) }

// TestFlaskAgrees compares verdicts about random sessions, and about as many mutated
// cookies. OPINIONS is the number of each.
func TestFlaskAgrees(t *testing.T) {
	n := 2000
	if number, err := strconv.Atoi(os.Getenv("OPINIONS")); err == nil {
		n = number
	}
	flask := startOpinions(t)
	random := rand.New(rand.NewPCG(17, 1))
	cookies := signedCookies(t, flask, random, n)
	var questions []*question
	for i, c := range cookies {
		ages := []int64{0, 1, lifetime - 1, lifetime, lifetime + 1, -1, -60, -61, random.Int64N(2 * lifetime)}
		questions = append(questions, &question{
			how: "a random session", hash: c.hash, now: signedAt + pick(random, ages...), header: "session=" + c.value(),
		})
		m, other := mutations[i%len(mutations)], cookies[(i+2)%n]
		questions = append(questions, &question{
			how: m.name, hash: c.hash, now: signedAt + pick[int64](random, 0, 0, 0, lifetime, lifetime+1), header: m.make(random, c, other),
		})
	}
	for i, answer := range flask.ask(t, questions) {
		questions[i].theirs = answer.opinion
	}
	ourOpinions(t, questions)

	kinds := make(map[string]int)
	accepted, compressed := 0, 0
	for _, q := range questions {
		if q.ours.Verdict == "accepted" {
			accepted++
		}
		if strings.HasPrefix(q.header, "session=.") {
			compressed++
		}
		if !agree(t, q) {
			kinds[kindOf(t, q)]++
		}
	}
	for _, d := range disagreements {
		if kinds[d.name] == 0 {
			t.Errorf("there was no disagreement about %q, want some, or docs/limits.md without it", d.name)
		}
	}
	if accepted < n/2 {
		t.Errorf("%d cookies were accepted, want %d or more", accepted, n/2)
	}
	if compressed < n/4 {
		t.Errorf("%d cookies were compressed, want %d or more", compressed, n/4)
	}
	t.Logf("%d cookies, %d accepted, %d compressed, disagreements %v", len(questions), accepted, compressed, kinds)
}

// kindOf returns the name of a disagreement. If it has none, the test fails.
func kindOf(t *testing.T, q *question) string {
	t.Helper()
	for _, d := range disagreements {
		if d.is(t, q) {
			return d.name
		}
	}
	t.Errorf("%s, %s, %d s old: %.200q\nhere:  %s\nFlask: %s", q.how, q.hash, q.now-signedAt, q.header, q.ours, q.theirs)
	return "no name"
}

func (o opinion) String() string {
	return fmt.Sprintf("%s %.300s, permanent: %t %s", o.Verdict, o.Values, o.Permanent, o.Why)
}

// disagreements are the ways in which Flask decides otherwise. docs/limits.md lists them
// by these names. A disagreement has the first name that fits.
var disagreements = []struct {
	name string
	is   func(t *testing.T, q *question) bool
}{
	{"Several cookies of one name", func(t *testing.T, q *question) bool {
		all := q.values()
		if len(all) < 2 {
			return false
		}
		firstIsValid := q.verifies(all[0])
		return q.ours.Verdict == "accepted" && !firstIsValid || q.ours.Verdict == "refused" && firstIsValid
	}},
	{"Clocks that differ", func(t *testing.T, q *question) bool {
		parts, err := session.Inspect(q.value())
		age := q.now - parts.SignedAt.Unix()
		return err == nil && -60 <= age && age < 0 && q.ours.Verdict == "accepted" && q.theirs.Verdict == "refused"
	}},
	{"White space and quotes", func(t *testing.T, q *question) bool {
		value := q.value()
		return q.ours.Verdict == "refused" && q.theirs.Verdict == "accepted" && strings.Trim(value, ` 	"`) != value
	}},
	{"Large cookies", func(t *testing.T, q *question) bool {
		return q.onlyWeRefuse("cookie is too large") && len("session")+len(q.value()) > 4096
	}},
	{"Other spellings of base64", func(t *testing.T, q *question) bool {
		value := q.value()
		return q.ours.Verdict == "refused" && q.theirs.Verdict == "accepted" && q.verifies(value) && canonical(value) != value
	}},
	{"Bytes after a compressed payload", func(t *testing.T, q *question) bool {
		return q.onlyWeRefuse("bytes after the compressed payload")
	}},
	{"Large payloads", func(t *testing.T, q *question) bool {
		return q.onlyWeRefuse("inflates to more")
	}},
	{"Payloads that are no object", func(t *testing.T, q *question) bool {
		return q.onlyWeRefuse("payload is not a JSON object")
	}},
	{"NaN and Infinity", func(t *testing.T, q *question) bool {
		return q.onlyWeRefuse("payload is not JSON") && q.theirs.Values == nil && strings.Contains(q.theirs.Why, "JSON compliant")
	}},
	{"Signed text that is no session", func(t *testing.T, q *question) bool {
		return q.ours.Verdict == "refused" && q.theirs.Verdict == "failed" && q.verifies(q.value())
	}},
	{"Flask's own types", func(t *testing.T, q *question) bool {
		tag := regexp.MustCompile(`\{" (di|t|b|m|u|d)":`)
		return q.ours.Verdict == "accepted" && tag.Match(q.payload(t))
	}},
	{"Deep values", func(t *testing.T, q *question) bool {
		return q.ours.Verdict == "accepted" && q.theirs.Verdict == "failed" && strings.Contains(q.theirs.Why, "RecursionError")
	}},
	{"Exact numbers", func(t *testing.T, q *question) bool {
		if q.ours.Verdict != "accepted" || q.theirs.Verdict != "accepted" || q.ours.Permanent != q.theirs.Permanent {
			return false
		}
		infinite := q.theirs.Values == nil && strings.Contains(q.theirs.Why, "JSON compliant")
		return infinite || equalJSON(q.ours.Values, q.theirs.Values) // as float64
	}},
	{"Our names", func(t *testing.T, q *question) bool {
		var values struct {
			Permanent any `json:"_permanent"`
			Created   any `json:"_created"`
		}
		if json.Unmarshal(q.payload(t), &values) != nil || q.ours.Verdict != "accepted" || q.theirs.Verdict != "accepted" {
			return false
		}
		_, isBool := values.Permanent.(bool)
		return values.Created != nil || values.Permanent != nil && !isBool
	}},
}

// onlyWeRefuse reports whether a cookie is refused here for this reason, and accepted by
// Flask.
func (q *question) onlyWeRefuse(why string) bool {
	return q.ours.Verdict == "refused" && strings.Contains(q.ours.Why, why) && q.theirs.Verdict == "accepted"
}

// values returns the values of the header's session cookies, with the white space and
// the quotes around them.
func (q *question) values() []string {
	var all []string
	for pair := range strings.SplitSeq(q.header, ";") {
		if name, value, _ := strings.Cut(pair, "="); strings.TrimSpace(name) == "session" {
			all = append(all, value)
		}
	}
	return all
}

// value returns the header's only session cookie, or "".
func (q *question) value() string {
	if all := q.values(); len(all) == 1 {
		return all[0]
	}
	return ""
}

// payload returns the JSON of the header's only session cookie.
func (q *question) payload(t *testing.T) []byte {
	t.Helper()
	parts, err := session.Inspect(q.value())
	if err != nil {
		return nil
	}
	return parts.Payload
}

// verifies reports whether the signature of a cookie's value is valid for someone who
// reads base64 as Python does.
func (q *question) verifies(value string) bool {
	message, signature, _ := cutLast(value)
	return seal(hashes[q.hash], message) == message+"."+spelling(signature)
}

// canonical returns a cookie's value with each part in the only spelling that is accepted
// here.
func canonical(value string) string {
	c := newCookie("", value)
	payload, compressed := strings.CutPrefix(c.payload, ".")
	c.payload = spelling(payload)
	if compressed {
		c.payload = "." + c.payload
	}
	timestamp, _ := base64.RawURLEncoding.DecodeString(spelling(c.timestamp))
	c.timestamp = b64(string(bytes.TrimLeft(timestamp, "\x00")))
	c.signature = spelling(c.signature)
	return c.value()
}

// spelling returns how base64 is spelled that Python can read: without what follows the
// padding, without other characters, in the URL alphabet, and without stray bits.
func spelling(text string) string {
	text, _, _ = strings.Cut(text, "=")
	text = strings.Map(func(r rune) rune {
		if !strings.ContainsRune(letters, r) {
			return -1
		}
		return r
	}, strings.NewReplacer("+", "-", "/", "_").Replace(text))
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "not base64"
	}
	return b64(string(data))
}

// agree reports whether both sides have the same opinion.
func agree(t *testing.T, q *question) bool {
	t.Helper()
	if q.ours.Verdict != q.theirs.Verdict || q.ours.Permanent != q.theirs.Permanent {
		return false
	}
	if q.ours.Values == nil || q.theirs.Values == nil {
		return q.ours.Values == nil && q.theirs.Values == nil
	}
	return reflect.DeepEqual(decode(t, q.ours.Values), decode(t, q.theirs.Values))
}

// signedCookies returns the cookies of random sessions. Each side signs half of them, and
// each hash has half of them.
func signedCookies(t *testing.T, flask *opinions, random *rand.Rand, n int) []cookie {
	t.Helper()
	sessions := randomSessions(random, n)
	cookies := make([]cookie, n)
	var requests []any
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(signedAt, 0)))
		managers := managersOf(t)
		for i, values := range sessions {
			cookies[i].hash = []string{"sha1", "sha256"}[i%2]
			if random.IntN(5) == 0 {
				values["_permanent"] = true
			}
			if i%4 < 2 {
				requests = append(requests, map[string]any{"hash": cookies[i].hash, "now": signedAt, "sign": values})
				continue
			}
			_, permanent := values["_permanent"]
			delete(values, "_permanent")
			m := managers[cookies[i].hash]
			s := load(t, m)
			s.SetPermanent(permanent)
			for name, value := range values {
				session.Key[any](name).Set(s, value)
			}
			_, value, _ := strings.Cut(sent(t, save(t, m, s)), "=")
			value, _, _ = strings.Cut(value, ";")
			cookies[i] = newCookie(cookies[i].hash, value)
		}
	})
	answers := flask.ask(t, requests)
	for i := range cookies {
		if i%4 < 2 {
			cookies[i] = newCookie(cookies[i].hash, answers[0].Cookie)
			answers = answers[1:]
		}
	}
	return cookies
}

func managersOf(t *testing.T) map[string]*session.Manager {
	t.Helper()
	managers := make(map[string]*session.Manager)
	for name, newHash := range hashes {
		managers[name] = newManager(t, session.Options{Hash: newHash})
	}
	return managers
}

// ourOpinions asks this package, in a bubble whose clock goes from question to question.
func ourOpinions(t *testing.T, questions []*question) {
	t.Helper()
	inOrder := slices.SortedFunc(slices.Values(questions), func(a, b *question) int { return cmp.Compare(a.now, b.now) })
	synctest.Test(t, func(t *testing.T) {
		managers := managersOf(t)
		for _, q := range inOrder {
			time.Sleep(time.Until(time.Unix(q.now, 0)))
			q.ours = ourOpinion(t, managers[q.hash], q)
		}
	})
}

func ourOpinion(t *testing.T, m *session.Manager, q *question) opinion {
	t.Helper()
	r := &http.Request{Header: http.Header{"Cookie": {q.header}}}
	s, err := m.Load(r)
	if err != nil {
		return opinion{Verdict: "refused", Why: err.Error()}
	}
	if s.IsNew() {
		return opinion{Verdict: "refused", Why: "no cookie"}
	}
	names := make(map[string]any)
	json.Unmarshal(q.theirs.Values, &names) // Values may be nil
	for _, c := range r.CookiesNamed("session") {
		if parts, err := session.Inspect(c.Value); err == nil {
			json.Unmarshal(parts.Payload, &names) // may be no object
		}
	}
	values := make(map[string]json.RawMessage)
	for name := range names {
		if value, ok := session.Key[json.RawMessage](name).Lookup(s); ok {
			values[name] = value
		}
	}
	data, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return opinion{Verdict: "accepted", Permanent: s.Permanent(), Values: data}
}

// opinions is a Flask that answers questions: see testdata/flask_opinion.py.
type opinions struct {
	questions *bufio.Writer
	answers   *bufio.Reader
}

type answer struct {
	opinion
	Cookie string `json:"cookie"`
}

func startOpinions(t *testing.T) *opinions {
	t.Helper()
	const script = "testdata/flask_opinion.py"
	if _, err := os.Stat(script); err != nil { // so that the go command runs this test again when it changes
		t.Fatal(err)
	}
	cmd := exec.Command(findFlask(t), script)
	cmd.Env = append(os.Environ(), "SECRET_KEY="+string(secret))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close() // Flask ends then, as it would with this process
		cmd.Wait()
	})
	return &opinions{bufio.NewWriter(stdin), bufio.NewReader(stdout)}
}

// ask writes all questions, while it reads the answers.
func (o *opinions) ask(t *testing.T, questions any) []answer {
	t.Helper()
	list := reflect.ValueOf(questions)
	go func() {
		encoder := json.NewEncoder(o.questions)
		for i := range list.Len() {
			encoder.Encode(list.Index(i).Interface())
		}
		o.questions.Flush()
	}()
	answers := make([]answer, list.Len())
	for i := range answers {
		line, err := o.answers.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &answers[i])
		}
		if err != nil {
			t.Fatalf("Flask answers %q: %v", line, err)
		}
	}
	return answers
}
