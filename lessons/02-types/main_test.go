package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"log"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestEachTypeComesBackAsItWentIn(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	mustShow(t, browser.Get("/store_data"), "Data stored in session!")
	page := browser.Get("/show_data")
	for _, want := range []string{
		"Username: john_doe<",
		"User ID: 123<",
		"Authenticated: true<",
		"Theme Preference: dark<",
		"Cart Items: item1, item2<",
	} {
		mustShow(t, page, want)
	}
}

func TestNothingStoredIsNoFailure(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/show_data")
	mustShow(t, page, "No session data found!")
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("a request that only reads got Set-Cookie: %s, want none", line)
	}
}

func TestCookieIsPlainJSON(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/store_data")
	parts, err := session.Inspect(browser.Cookie("/", "types"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(parts.Payload, &values); err != nil {
		t.Fatalf("the payload %s is not JSON: %v", parts.Payload, err)
	}
	for name, want := range map[string]string{
		"username":      `"john_doe"`,
		"user_id":       `123`,
		"authenticated": `true`,
		"preferences":   `{"theme":"dark","notifications":true}`,
		"cart_items":    `["item1","item2"]`,
		"order_number":  `9007199254740993`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(values[name]); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestLargeNumberNeedsItsType(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/store_data")
	page := browser.Get("/show_data")
	mustShow(t, page, ">9007199254740993<")
	mustShow(t, page, ">9.007199254740992e+15, a float64<")
}

func TestUnexportedFieldStaysBehind(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	mustShow(t, browser.Get("/store_data"), "{Theme:dark Notifications:true draft:true}")
	mustShow(t, browser.Get("/show_data"), "{Theme:dark Notifications:true draft:false}")
}

func TestTimeLeavesItsMonotonicClockBehind(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	mustShow(t, browser.Get("/store_data"), " m=")
	browser.Get("/show_data").MustNotShow(" m=")
}

func TestTimeKeepsItsInstantAndNotItsZonesName(t *testing.T) {
	s, _ := newSessions(t, nil).Load(httptest.NewRequest("GET", "/", nil))
	before := time.Date(2026, 11, 22, 8, 30, 0, 1, time.FixedZone("Office", 5*3600+45*60))
	storedAt.Set(s, before)

	after := storedAt.Get(s)
	if !after.Equal(before) {
		t.Errorf("got the instant %v, want %v", after, before)
	}
	if name, _ := after.Zone(); name == "Office" {
		t.Errorf("got the zone %q, want one without that name", name)
	}
	if after == before {
		t.Errorf("got %v, which is == to the time before, want one that only Equal finds the same", after)
	}
}

func TestMissingIsTheZeroValueAndSaysSo(t *testing.T) {
	browser := webtest.NewBrowser(t, anotherRelease(t, func(s *session.Session) { userID.Set(s, 123) }))
	browser.Get("/")
	browser.Handler = site(t)
	page := browser.Get("/show_data")
	for _, want := range []string{
		"Username:  (absent)<",
		"User ID: 123<",
		"Authenticated: false (absent)<",
		"Theme Preference:  (absent)<",
		"Cart Items:  (absent)<",
	} {
		mustShow(t, page, want)
	}
}

func TestStoredZeroIsNotMissing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	mustShow(t, browser.Get("/store_zeros"), "Zeros stored in session!")
	page := browser.Get("/show_data")
	for _, want := range []string{"Username: <", "User ID: 0<", "Authenticated: false<", "Cart Items:  (absent)<"} {
		mustShow(t, page, want)
	}
}

func TestAnotherShapeCountsAsAbsent(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	mustShow(t, browser.Get("/store_old"), "Old data stored in session!")
	page := browser.Get("/show_data")
	for _, want := range []string{"Username: john_doe<", "User ID: 0 (absent)<", "Cart Items:  (absent)<"} {
		mustShow(t, page, want)
	}
}

func TestNoShapeFails(t *testing.T) {
	for _, odd := range []any{true, -1, 1e300, "text", []any{1, "two"}, map[string]any{"theme": 1}} {
		browser := webtest.NewBrowser(t, anotherRelease(t, func(s *session.Session) {
			for _, name := range []string{"username", "user_id", "authenticated", "preferences", "cart_items",
				"order_number", "stored_at", "filling"} {
				session.Key[any](name).Set(s, odd)
			}
		}))
		browser.Get("/")
		browser.Handler = site(t)
		if page := browser.Get("/show_data"); page.Status != 200 {
			t.Errorf("every value is %v: got status %d, want 200; the page says: %s", odd, page.Status, page.Text())
		}
		browser.Get("/store_data")
		mustShow(t, browser.Get("/show_data"), "User ID: 123<")
	}
}

func TestValuesAreEscaped(t *testing.T) {
	browser := webtest.NewBrowser(t, anotherRelease(t, func(s *session.Session) { username.Set(s, "<script>") }))
	browser.Get("/")
	browser.Handler = site(t)
	browser.Get("/show_data").MustShow("Username: &lt;script&gt;<")
}

func TestThreeThousandBytesFitAndFourDoNot(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	mustShow(t, browser.Get("/fill?bytes=3016"), "3016 bytes stored in session!")
	if size := len("types") + len(browser.Cookie("/", "types")); size != 4096 {
		t.Errorf("got a name and value of %d bytes, want 4096", size)
	}
	browser.Get("/fill?bytes=3017").MustBe(http.StatusInternalServerError, "")
}

func TestTooLargeIsAnErrorPageAndChangesNothing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/store_data")
	page := browser.Get("/fill?bytes=5000")
	if page.Status != 500 {
		t.Errorf("got status %d, want 500", page.Status)
	}
	if want := "Internal Server Error\n"; page.Body != want {
		t.Errorf("got the body %q, want %q", page.Body, want)
	}
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("got Set-Cookie: %s, want none", line)
	}
	mustShow(t, browser.Get("/show_data"), "Username: john_doe<")
}

func TestLogSaysWhichKeyIsLargeAndNotWhatIsInIt(t *testing.T) {
	var lines bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&lines, nil))
	browser := webtest.NewBrowser(t, newHandler(newSessions(t, logger)))
	browser.Get("/store_data")
	browser.Get("/fill?bytes=5000")
	for _, want := range []string{"level=ERROR", "session not saved", "of 4096", "filling", "=5002", "username"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("got the log %s, want %q in it", &lines, want)
		}
	}
	for _, value := range []string{"xxx", "john_doe"} {
		if strings.Contains(lines.String(), value) {
			t.Errorf("got the log %s, want no %q in it", &lines, value)
		}
	}
}

func TestTooLargeIsLoggedOnce(t *testing.T) {
	var lines bytes.Buffer
	log.SetOutput(&lines) // what show logs; the manager has a logger of its own here
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	browser := webtest.NewBrowser(t, newHandler(newSessions(t, slog.New(slog.DiscardHandler))))
	browser.Get("/fill?bytes=5000")
	if lines.Len() > 0 {
		t.Errorf("show logged %q, want nothing, because the manager has logged it", &lines)
	}
}

func TestStoringMakesRoomAgain(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/fill?bytes=3016")
	mustShow(t, browser.Get("/store_data"), "Data stored in session!")
}

func TestFillIsBounded(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, query := range []string{"", "?bytes=", "?bytes=-1", "?bytes=10001", "?bytes=1e3", "?bytes=99999999999999999999"} {
		page := browser.Get("/fill" + query)
		page.MustBe(http.StatusBadRequest, "bytes must be a number from 0 to 10000")
		if line := page.Header.Get("Set-Cookie"); line != "" {
			t.Errorf("%s: got Set-Cookie: %s, want none", page.Path, line)
		}
	}
}

func TestClearMakesRoomForTheLargestFill(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/store_data")
	browser.Get("/fill?bytes=3016").MustBe(http.StatusInternalServerError, "")
	mustShow(t, browser.Get("/clear"), "Session is empty!")
	mustShow(t, browser.Get("/fill?bytes=3016"), "3016 bytes stored in session!")
	mustShow(t, browser.Get("/show_data"), ">3016 bytes<")
}

func TestClearDeletesTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/store_data")
	browser.Get("/clear")
	if value := browser.Cookie("/", "types"); value != "" {
		t.Errorf("after /clear the browser has the cookie %s, want none", value)
	}
	mustShow(t, browser.Get("/show_data"), "No session data found!")
}

func TestPageMarksTheValuesThatJSONChanges(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/store_data")
	mustShow(t, page, "<code>{Theme:dark Notifications:true draft:true}</code></td><td><code>"+`{"theme":"dark","notifications":true}`+"</code>")
	if got, want := strings.Count(page.Body, "(changed)"), 2; got != want { // draft, and the clock of stored_at
		t.Errorf("%d values are marked as changed, want %d", got, want)
	}
}

// The next three tests are the table of README.md.

func TestTypesThatComeBackExactly(t *testing.T) {
	mustReturn(t, true, `true`, true)
	mustReturn(t, "a <b> ☃", `"a <b> ☃"`, "a <b> ☃")
	mustReturn(t, int8(-128), `-128`, int8(-128))
	mustReturn(t, int64(bigOrder), `9007199254740993`, int64(bigOrder))
	mustReturn(t, int64(math.MinInt64), `-9223372036854775808`, int64(math.MinInt64))
	mustReturn(t, uint64(math.MaxUint64), `18446744073709551615`, uint64(math.MaxUint64))
	mustReturn(t, 0.1, `0.1`, 0.1)
	mustReturn(t, math.MaxFloat64, `1.7976931348623157e+308`, math.MaxFloat64)
	mustReturn(t, []byte{0, 255}, `"AP8="`, []byte{0, 255})
	mustReturn(t, []string{"a", ""}, `["a",""]`, []string{"a", ""})
	mustReturn(t, []string{}, `[]`, []string{})
	mustReturn(t, []string(nil), `null`, []string(nil))
	mustReturn(t, map[string]bool{"a": true}, `{"a":true}`, map[string]bool{"a": true})
	mustReturn(t, map[int]string{-1: "a"}, `{"-1":"a"}`, map[int]string{-1: "a"})
	mustReturn(t, struct{ A, B int }{1, 2}, `{"A":1,"B":2}`, struct{ A, B int }{1, 2})

	one := 1
	mustReturn(t, &one, `1`, &one)
	mustReturn(t, (*int)(nil), `null`, (*int)(nil))
}

func TestTypesThatChange(t *testing.T) {
	mustReturn(t, preferences{"dark", true, true}, `{"theme":"dark","notifications":true}`, preferences{"dark", true, false})
	mustReturn(t, any(1), `1`, any(1.0))
	mustReturn(t, any(int64(bigOrder)), `9007199254740993`, any(float64(bigOrder-1)))
	mustReturn(t, any([]string{"a"}), `["a"]`, any([]any{"a"}))

	// Go 1.26 writes U+FFFD as an escape, and Go 1.27 as it is. Both read it back.
	s, _ := newSessions(t, nil).Load(httptest.NewRequest("GET", "/", nil))
	username.Set(s, "\xff\xfe")
	if got, want := username.Get(s), "\ufffd\ufffd"; got != want {
		t.Errorf("stored two bytes that are not UTF-8, got %q, want %q", got, want)
	}

	now := time.Now().UTC()
	mustReturn(t, now, `"`+now.Format(time.RFC3339Nano)+`"`, now.Round(0)) // Round removes the monotonic clock
}

func TestTypesThatAreRefused(t *testing.T) {
	for _, refused := range []any{
		math.NaN(), math.Inf(1), math.Inf(-1), make(chan int), func() {}, 1i, map[bool]string{true: "a"},
		struct{ C chan int }{},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		sessions := newSessions(t, nil)
		s, _ := sessions.Load(r)
		session.Key[any]("value").Set(s, refused)
		if err := sessions.Save(httptest.NewRecorder(), r, s); !errors.Is(err, session.ErrValue) {
			t.Errorf("%T: Save returned %v, want ErrValue", refused, err)
		}
	}
}

// What Get returns is a copy, so that a change of it changes nothing in the session.

func TestChangingACopyChangesNothing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/store_data")
	page := browser.Get("/change_copy")
	mustShow(t, page, "The copy is [changed changed], the session has [item1 item2]<")
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("got Set-Cookie: %s, want none", line)
	}
	mustShow(t, browser.Get("/show_data"), "Cart Items: item1, item2<")
}

func TestEachGetReturnsACopy(t *testing.T) {
	s, _ := newSessions(t, nil).Load(httptest.NewRequest("GET", "/", nil))

	list := session.Key[[]string]("list")
	stored := []string{"a", "b"}
	list.Set(s, stored)
	stored[0] = "changed after Set"
	list.Get(s)[1] = "changed after Get"
	if got, want := list.Get(s), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got the slice %q, want %q", got, want)
	}

	table := session.Key[map[string]int]("table")
	table.Set(s, map[string]int{"a": 1})
	table.Get(s)["a"] = 2
	if got, want := table.Get(s)["a"], 1; got != want {
		t.Errorf("got the map's value %d, want %d", got, want)
	}

	pointer := session.Key[*int]("pointer")
	one := 1
	pointer.Set(s, &one)
	*pointer.Get(s) = 2
	if got, want := *pointer.Get(s), 1; got != want {
		t.Errorf("the pointer points to %d, want %d", got, want)
	}
}

var secret = bytes.Repeat([]byte("s"), 32)

func newSessions(t *testing.T, logger *slog.Logger) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "types", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// site returns the lesson's handler.
func site(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(newSessions(t, nil))
}

// anotherRelease returns a handler that has the site's secret, and changes the session
// with set. It stands for another release of the program.
func anotherRelease(t *testing.T, set func(*session.Session)) http.Handler {
	t.Helper()
	return newSessions(t, nil).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(session.From(r))
	}))
}

// mustShow wants status 200, and want in the body after its entities are decoded.
func mustShow(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	if page.Status != 200 {
		t.Errorf("%s: got status %d, want 200", page.Path, page.Status)
	}
	if !strings.Contains(html.UnescapeString(page.Body), want) {
		t.Errorf("%s: want %q, and the page says: %s", page.Path, want, page.Text())
	}
}

// mustReturn stores a value, and wants this JSON in the session, and that Get returns want.
func mustReturn[T any](t *testing.T, stored T, wantJSON string, want T) {
	t.Helper()
	s, _ := newSessions(t, nil).Load(httptest.NewRequest("GET", "/", nil))
	key := session.Key[T]("value")
	key.Set(s, stored)
	if got := string(session.Key[json.RawMessage](key).Get(s)); got != wantJSON {
		t.Errorf("%T: stored %#v, got the JSON %s, want %s", stored, stored, got, wantJSON)
	}
	if got := key.Get(s); !reflect.DeepEqual(got, want) {
		t.Errorf("%T: stored %#v, got %#v, want %#v", stored, stored, got, want)
	}
}
