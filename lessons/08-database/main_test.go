package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
	"example.com/sessions/internal/session/memstore"
	"example.com/sessions/internal/session/storetest"
	"example.com/sessions/internal/webtest"
)

// What the tutorial promises of a database.

func TestLargerAmountsOfDataAreKept(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	text := strings.Repeat("ü<\n", 50_000) // 200 kB
	page := browser.Post("/note", url.Values{"note": {text}})
	page.MustShow("It has 200000 bytes.")
	page.MustShow(html.EscapeString(text))
}

func TestSampleHasTwoHundredKilobytes(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	page := browser.Post("/note", url.Values{"note": {"mine"}, "sample": {"yes"}})
	page.MustShow("It has 200000 bytes.")
	page.MustShow("so there would be\n      none.")
}

func TestDataIsNotSentWithEveryRequest(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	browser.Get("/").MustShow("no cookie")
	short := len(browser.Cookie("/", cookieName))
	page := browser.Post("/note", url.Values{"sample": {"yes"}})
	long := len(browser.Cookie("/", cookieName))
	if long != short {
		t.Errorf("with the note: got a cookie of %d bytes, want %d as before", long, short)
	}
	if long > 100 {
		t.Errorf("got a cookie of %d bytes, want at most 100", long)
	}
	page.MustShow(fmt.Sprintf("%d bytes, name and value: the session ID", len("database")+short))
}

// The page computes how long the cookie of a client-side session would be. This test makes
// such a cookie.
func TestPageTellsWhatAClientSideCookieWouldTake(t *testing.T) {
	fill := func(s *session.Session) {
		visits.Set(s, 2)
		note.Set(s, "<b>ü</b>")
		username.Set(s, "admin")
		shopping.Set(s, cart{}.add("1", "NEXT"))
		s.SetPermanent(true)
	}
	clientSide, err := session.New(secret, &session.Options{Name: cookieName})
	if err != nil {
		t.Fatal(err)
	}
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	s, _ := clientSide.Load(r)
	fill(s)
	if err := clientSide.Save(w, r, s); err != nil {
		t.Fatal(err)
	}
	c := w.Result().Cookies()[0]

	store := memstore.New()
	browser := visitor(t, store, func(s *session.Session) { fill(s); visits.Set(s, 1) })
	browser.Get("/").MustShow(fmt.Sprintf("would take %d bytes", len(c.Name)+len(c.Value)))
}

func TestSessionOutlivesTheProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	browser := webtest.NewBrowser(t, site(t, fileStore(t, dir)))
	browser.Get("/")
	browser.Handler = site(t, fileStore(t, dir))
	browser.Get("/").MustShow("You have visited this page 2 times.")
}

func TestSessionInMemoryEndsWithTheProgram(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	browser.Get("/")
	browser.Handler = site(t, memstore.New())
	browser.Get("/").MustShow("You have visited this page 1 times.")
}

// This does not depend on the database. It depends on whether the browser keeps the ID.
func TestSessionOutlivesTheBrowserIfItIsPermanent(t *testing.T) {
	for keep, want := range map[string]string{"": "/login", "keep": "/sessions"} {
		t.Run("keep="+keep, func(t *testing.T) {
			t.Parallel()
			browser := webtest.NewBrowser(t, site(t, memstore.New()))
			form := url.Values{"username": {"admin"}, "password": {"password"}}
			if keep != "" {
				form.Set("keep", "yes")
			}
			browser.Post("/login", form).MustBeAt("/sessions")
			browser.Restart()
			browser.Get("/sessions").MustBeAt(want)
		})
	}
}

func TestSessionsAreListedWithTheirTimes(t *testing.T) {
	var page webtest.Page
	synctest.Test(t, func(t *testing.T) { // a bubble begins with the year 2000
		store := memstore.New()
		laptop := signedInAt(t, store)
		time.Sleep(10 * time.Minute)
		phone := signedInAt(t, store)
		time.Sleep(5 * time.Minute)
		phone.Get("/cart").MustBeAt("/cart")
		page = laptop.Get("/sessions")
	})
	if got := len(idsOn(page)); got != 2 {
		t.Errorf("got %d sessions, want 2", got)
	}
	mine, other, _ := strings.Cut(page.Body, "Another browser") // its session began later, so it comes second
	for _, test := range []struct {
		name, part string
		times      []string
	}{
		{"this browser", mine, []string{"This browser", "00:00:00 UTC", "<dt>Last used</dt><dd>now</dd>", "00:45:00 UTC"}},
		{"another browser", other, []string{"00:10:00 UTC", "00:15:00 UTC", "00:45:00 UTC"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, want := range test.times {
				if !strings.Contains(test.part, want) {
					t.Errorf("want %q, and the list says: %s", want, webtest.Page{Body: test.part}.Text())
				}
			}
		})
	}
}

func TestEndedSessionIsOutWithItsNextRequest(t *testing.T) {
	store := memstore.New()
	laptop, phone := signedInAt(t, store), signedInAt(t, store)
	ids := idsOn(laptop.Get("/sessions"))
	if len(ids) != 2 {
		t.Fatalf("got the sessions %q, want two", ids)
	}
	for _, id := range ids {
		if !strings.Contains(laptop.Get("/").Body, id) { // the home page shows the laptop's own ID
			laptop.Post("/sessions/end", url.Values{"id": {id}})
		}
	}
	phone.Get("/sessions").MustBeAt("/login")
	laptop.Get("/sessions").MustBeAt("/sessions")
}

func TestEndingThisSessionIsALogout(t *testing.T) {
	browser := signedInAt(t, memstore.New())
	id := idsOn(browser.Get("/sessions"))[0]
	browser.Post("/sessions/end", url.Values{"id": {id}}).MustBeAt("/login")
	if value := browser.Cookie("/", cookieName); value != "" {
		t.Errorf("after logout the browser has the cookie %s, want none", value)
	}
}

func TestEndOthersLeavesThisSession(t *testing.T) {
	store := memstore.New()
	laptop, phone, tablet := signedInAt(t, store), signedInAt(t, store), signedInAt(t, store)
	page := laptop.Post("/sessions/end-others", nil)
	if ids := idsOn(page); len(ids) != 1 {
		t.Errorf("got %d sessions, want 1", len(ids))
	}
	page.MustShow("This browser")
	phone.Get("/sessions").MustBeAt("/login")
	tablet.Get("/sessions").MustBeAt("/login")
}

func TestEndOthersEndsACopyOfThisCookieToo(t *testing.T) {
	store := memstore.New()
	browser := signedInAt(t, store)
	thief := webtest.NewBrowser(t, site(t, store))
	thief.SetCookie(cookieName, browser.Cookie("/", cookieName))
	thief.Get("/sessions").MustBeAt("/sessions")
	browser.Post("/sessions/end-others", nil)
	thief.Get("/sessions").MustBeAt("/login")
	browser.Get("/sessions").MustBeAt("/sessions")
}

func TestEndOthersAcceptsThatOneEndsAtTheSameTime(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New()}
	laptop, phone := signedInAt(t, store), signedInAt(t, store)
	store.OnList = func(ctx context.Context, owner string) ([]session.Record, error) {
		records, err := store.Store.List(ctx, owner)
		store.OnList = nil
		phone.Post("/logout", nil)
		return records, err
	}
	laptop.Post("/sessions/end-others", nil).MustBeAt("/sessions")
}

func TestLogOutEverywhereEndsEverySessionOfTheUser(t *testing.T) {
	store := memstore.New()
	laptop, phone, thief := signedInAt(t, store), signedInAt(t, store), webtest.NewBrowser(t, site(t, store))
	thief.SetCookie(cookieName, laptop.Cookie("/", cookieName))
	other := visitor(t, store, func(s *session.Session) { signIn(s, "other"); visits.Set(s, 1) })

	laptop.Post("/sessions/end-all", nil).MustBeAt("/login")
	if value := laptop.Cookie("/", cookieName); value != "" {
		t.Errorf("the browser has the cookie %s, want none", value)
	}
	thief.Get("/sessions").MustBeAt("/login")
	phone.Get("/sessions").MustBeAt("/login")
	if records, err := manager(t, store).Sessions(t.Context(), "admin"); err != nil || len(records) > 0 {
		t.Errorf("the user has %d sessions, error %v, want none", len(records), err)
	}
	other.Get("/").MustShow("You have visited this page 2 times.")
}

func TestVisitorIsToldThatTheSessionHasEnded(t *testing.T) {
	const told = "Your session has ended."
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		laptop, phone := signedInAt(t, store), signedInAt(t, store)
		laptop.Post("/sessions/end-others", nil)
		phone.Get("/sessions").MustShow(told + " Log in again.")
		time.Sleep(2 * time.Minute) // the tombstone is gone
		phone.Get("/sessions").MustShow(told + " Log in again.")
		phone.Get("/").MustShow(told)
		phone.Get("/").MustNotShow(told) // that was a new session

		laptop.Post("/logout", nil).MustNotShow(told) // this visitor ended it
		webtest.NewBrowser(t, site(t, store)).Get("/sessions").MustNotShow(told)
	})
}

func TestNoOneEndsTheSessionOfAnotherVisitor(t *testing.T) {
	store := memstore.New()
	browser, stranger := signedInAt(t, store), webtest.NewBrowser(t, site(t, store))
	other := regexp.MustCompile(`[0-9a-f]{64}`).FindString(stranger.Get("/").Body)
	for _, id := range []string{other, "", "x", "../x", "<script>", strings.Repeat("0", 64)} {
		page := browser.Post("/sessions/end", url.Values{"id": {id}})
		page.MustBe(http.StatusNotFound, "You have no such session.")
		page.MustNotShow("<script")
	}
	stranger.Get("/").MustShow("2 times")

	stranger.Post("/sessions/end", url.Values{"id": idsOn(browser.Get("/sessions"))}).MustBeAt("/login")
	stranger.Post("/sessions/end-others", nil).MustBeAt("/login")
	stranger.Post("/sessions/end-all", nil).MustBeAt("/login")
	browser.Get("/sessions").MustBeAt("/sessions")
}

// The limits of lesson 07.

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	browser.Get("/login").MustShow(`href="/forget.css"`)
	if got := browser.Get("/forget.css").Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("got Clear-Site-Data %s, want %q", got, "cache")
	}
}

func TestLimitGoneCopyIsDeadAfterLogout(t *testing.T) {
	store := memstore.New()
	browser := signedInAt(t, store)
	copied := browser.Cookie("/", cookieName)
	browser.Post("/logout", nil)
	browser.SetCookie(cookieName, copied)
	browser.Get("/sessions").MustBeAt("/login")
}

func TestLimitGoneOlderCookieRollsNothingBack(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	browser.Get("/")
	older := browser.Cookie("/", cookieName)
	browser.Get("/")
	browser.SetCookie(cookieName, older)
	browser.Get("/").MustShow("You have visited this page 3 times.")
}

// The processes share only the store. Each loads the session before the other saves it.
func TestLimitGoneTwoTabsLoseNothing(t *testing.T) {
	store := &storetest.Meeting{Store: memstore.New()}
	browser := webtest.NewBrowser(t, site(t, store))
	browser.Get("/")
	store.Next(2)
	atOnce(t, browser, "GET", "/", nil, site(t, store), site(t, store))
	browser.Get("/").MustShow("You have visited this page 4 times.")
	store.Next(2)
	atOnce(t, browser, "POST", "/add_to_cart/3", nil, site(t, store), site(t, store))
	browser.Get("/cart").MustShow("Headphones x 2 = $199.98")
}

// The page on which two tabs race.

func TestQuickPressDuringASlowOneIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t, memstore.New()))
		browser.Post("/race/quick", nil).MustShow("The store has version 1 of")
		var slow sync.WaitGroup
		slow.Go(func() { atOnce(t, browser, "POST", "/race/slow", nil, browser.Handler) })
		time.Sleep(time.Second)
		browser.Post("/race/quick", nil).MustShow("The count is 2.")
		began := time.Now()
		slow.Wait()
		if got, want := time.Since(began), slowness-time.Second; got != want {
			t.Errorf("after the quick press the slow one took %v, want %v", got, want)
		}
		page := browser.Get("/race")
		page.MustShow("The count is 3.")
		page.MustShow("The store has version 3 of")
		mustHaveRows(t, page, "Quick | none | 0", "Quick | 1 | 1", "Slow | 1 | 1, then 2")
	})
}

func TestSlowPressEndsWhenTheVisitorLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t, memstore.New()))
		browser.Post("/race/quick", nil)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		began := time.Now()
		browser.Send(httptest.NewRequestWithContext(ctx, "POST", webtest.Origin+"/race/slow", nil))
		if got := time.Since(began); got != time.Second {
			t.Errorf("the visitor left after a second, and the request took %v, want 1s", got)
		}
		browser.Get("/race").MustShow("The count is 1.")
	})
}

func TestTooManySlowPressesAre503AtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t, memstore.New()))
		browser.Post("/race/quick", nil)
		var slow sync.WaitGroup
		for range maxSlow {
			slow.Go(func() { atOnce(t, browser, "POST", "/race/slow", nil, browser.Handler) })
		}
		synctest.Wait() // all of them wait
		began := time.Now()
		page := browser.Post("/race/slow", nil)
		page.MustBe(http.StatusServiceUnavailable, "Too many requests wait")
		if got := page.Header.Get("Retry-After"); got == "" {
			t.Error("the response has no Retry-After, want one")
		}
		if got := time.Since(began); got != 0 {
			t.Errorf("the refusal took %v, want 0s", got)
		}
		slow.Wait()
		browser.Post("/race/slow", nil).MustShow("The count is 12.") // each gave its place back
	})
}

func TestSessionRemembersTenPresses(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	for range 12 {
		browser.Post("/race/quick", nil)
	}
	page := browser.Get("/race")
	page.MustShow("The count is 12.")
	if got := strings.Count(page.Body, "<td>Quick</td>"); got != maxPresses {
		t.Errorf("got %d presses, want %d", got, maxPresses)
	}
}

func TestRaceBeginsWithQuick(t *testing.T) {
	page := webtest.NewBrowser(t, site(t, memstore.New())).Get("/race")
	page.MustShow("Press Quick once")
	page.MustNotShow(`action="/race/slow"`)
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("got Set-Cookie: %s, want none", line)
	}
}

func TestRaceWithoutItsRecordIsA503(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New()}
	browser := webtest.NewBrowser(t, site(t, store))
	browser.Post("/race/quick", nil)
	for _, send := range []func() webtest.Page{
		func() webtest.Page { return browser.Get("/race") },
		func() webtest.Page { return browser.Post("/race/quick", nil) },
	} {
		loads := 0
		store.OnLoad = func(context.Context) error {
			if loads++; loads == 2 { // the first load is the manager's
				return errDown
			}
			return nil
		}
		mustBeUnavailable(t, send())
		bringBack(store)
	}
	browser.Get("/race").MustShow("The count is 1.")
}

// An order is placed once.

func TestOrderIsPlacedOnceHoweverOftenTheButtonIsPressed(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	form := withOrder(t, browser, "1", "1", "3")
	for range 3 {
		page := browser.Post("/checkout", form)
		page.MustShow("Order 1 is placed, its total is $2099.97. Thank you!")
		page.MustShow("Your cart is empty")
		mustList(t, page, "Order 1: $2099.97")
	}
}

func TestOrderIsPlacedOnceByTwoProcessesAtOnce(t *testing.T) {
	store := &storetest.Meeting{Store: memstore.New()}
	browser := webtest.NewBrowser(t, site(t, store))
	form := withOrder(t, browser, "1")
	store.Next(2)
	atOnce(t, browser, "POST", "/checkout", form, site(t, store), site(t, store))
	mustList(t, browser.Get("/cart"), "Order 1: $999.99")
}

func TestOrderIsPlacedOnceByADoubleClick(t *testing.T) {
	store := &storetest.Meeting{Store: memstore.New()}
	browser := webtest.NewBrowser(t, site(t, store))
	form := withOrder(t, browser, "1")
	store.Next(2)
	atOnce(t, browser, "POST", "/checkout", form, browser.Handler, browser.Handler)
	mustList(t, browser.Get("/cart"), "Order 1: $999.99")
}

// The order is on its way to the store when the other tab adds an item. The cart that was
// ordered is then no longer the newest, so nothing is ordered, and the item stays.
func TestItemThatIsAddedWhileAnOrderIsPlacedIsNotLost(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New()}
	browser := webtest.NewBrowser(t, site(t, store))
	form := withOrder(t, browser, "1")
	tab := webtest.NewBrowser(t, site(t, store)) // in another process
	tab.SetCookie(cookieName, browser.Cookie("/", cookieName))
	store.OnSave = func(context.Context) error {
		store.OnSave = nil
		tab.Post("/add_to_cart/3", nil).MustBeAt("/products")
		return nil
	}
	page := browser.Post("/checkout", form)
	page.MustShow("Laptop x 1 = $999.99")
	page.MustShow("Headphones x 1 = $99.99")
	page.MustShow("Nothing was ordered")
	mustList(t, page)
}

func TestOrderIsPlacedOnceFromAnOlderCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	form := withOrder(t, browser, "1")
	older := browser.Cookie("/", cookieName)
	browser.Post("/checkout", form)
	browser.SetCookie(cookieName, older)
	browser.Get("/cart").MustShow("Your cart is empty")
	mustList(t, browser.Post("/checkout", form), "Order 1: $999.99")
}

func TestOrderPageOfAnotherCartOrdersNothing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	form := withOrder(t, browser, "1")
	browser.Post("/add_to_cart/2", nil) // in another tab
	page := browser.Post("/checkout", form)
	page.MustShow("Nothing was ordered")
	page.MustShow("Smartphone x 1 = $499.99")

	browser.Post("/checkout", withOrder(t, browser))
	again := withOrder(t, browser, "3")
	mustList(t, browser.Post("/checkout", form), "Order 1: $1499.98") // the form of the first cart places nothing
	browser.Post("/checkout", again).MustShow("Order 2 is placed, its total is $99.99.")
}

func TestOrderWithoutAnIDIsTheCartAsItIs(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	withOrder(t, browser, "3")
	browser.Post("/checkout", nil).MustShow("Order 1 is placed, its total is $99.99.")
	mustList(t, browser.Post("/checkout", nil), "Order 1: $99.99")
}

func TestSessionRemembersTwentyOrders(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	for range 21 {
		browser.Post("/checkout", withOrder(t, browser, "3"))
	}
	var want []string
	for n := 2; n <= 21; n++ {
		want = append(want, fmt.Sprintf("Order %d: $99.99", n))
	}
	mustList(t, browser.Get("/cart"), want...)
}

// The cart works in three processes behind one address.

func TestCartWalksAcrossThreeProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	var asked atomic.Int64
	processes := []http.Handler{site(t, fileStore(t, dir)), site(t, fileStore(t, dir)), site(t, fileStore(t, dir))}
	roundRobin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		processes[asked.Add(1)%3].ServeHTTP(w, r)
	})
	browser := webtest.NewBrowser(t, roundRobin)
	form := withOrder(t, browser, "1", "1", "3", "2")
	browser.Get("/cart").MustShow("Laptop x 2 = $1999.98")
	for range 3 {
		page := browser.Post("/checkout", form)
		page.MustShow("Order 1 is placed, its total is $2599.96.")
		mustList(t, page, "Order 1: $2599.96")
	}
}

func TestTenOfAProductIsTheMaximum(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	for range 10 {
		browser.Post("/add_to_cart/3", nil)
	}
	form := withOrder(t, browser, "3")
	browser.Get("/products").MustShow("(10 in your cart, which is the maximum)")
	browser.Get("/cart").MustShow("Headphones x 10 = $999.90")
	browser.Post("/add_to_cart/3", nil) // another tab tries once more
	mustList(t, browser.Post("/checkout", form), "Order 1: $999.90")
}

func TestUnknownProductIsNotFoundAndNothingIsStored(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	for _, id := range []string{"0", "4", "-1", "+1", "01", "1%00", "%3Cscript%3E", strings.Repeat("9", 5000)} {
		page := browser.Post("/add_to_cart/"+id, nil)
		page.MustBe(http.StatusNotFound, "There is no such product.")
		page.MustNotShow("<script")
	}
	if value := browser.Cookie("/", cookieName); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
}

func TestCartOfAnOlderReleaseIsReadWithCare(t *testing.T) {
	for _, stored := range []any{
		cart{Items: map[string]int{"1": -5, "7": 3}, Next: "X"}, []string{"1"}, "text", nil,
		map[string]any{"items": map[string]float64{"1": 1.5}},
	} {
		browser := visitor(t, memstore.New(), func(s *session.Session) {
			session.Key[any](shopping).Set(s, stored)
		})
		browser.Get("/cart").MustShow("Your cart is empty")
		mustList(t, browser.Post("/checkout", url.Values{"order": {"X"}}))
		browser.Post("/add_to_cart/2", nil)
		browser.Get("/cart").MustShow("Total: $499.99")
	}
}

// Logging in and out.

func TestLoginBeginsASessionWithANewID(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	browser := webtest.NewBrowser(t, site(t, store))
	browser.Post("/note", url.Values{"note": {"left by a stranger"}})
	planted := browser.Cookie("/", cookieName)
	browser.Post("/login", url.Values{"username": {"admin"}, "password": {"password"}}).MustBeAt("/sessions")
	if browser.Cookie("/", cookieName) == planted {
		t.Error("the login kept the ID from before it, want a new one")
	}
	browser.Get("/").MustNotShow("left by a stranger")

	attacker := webtest.NewBrowser(t, site(t, store))
	attacker.SetCookie(cookieName, planted)
	attacker.Get("/sessions").MustBeAt("/login")
	attacker.Get("/").MustShow("You are not signed in.")
}

func TestWrongPasswordAndUnknownUserGetTheSameResponse(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	for _, name := range []string{"admin", "stranger"} {
		page := browser.Post("/login", url.Values{"username": {name}, "password": {"Password"}})
		page.MustBe(http.StatusForbidden, "Invalid credentials")
		page.MustNotShow(`"Password"`)
	}
	if value := browser.Cookie("/", cookieName); value != "" {
		t.Errorf("after a failed login: got the cookie %s, want none", value)
	}
}

// HMAC pads a short key with zero bytes, so both passwords would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, site(t, memstore.New())).Post("/login", url.Values{"username": {"admin"}, "password": {"password\x00"}})
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: got status %d, want 403", page.Status)
	}
}

// A visitor with the right password must not wait behind any number of wrong logins.
func TestTooManyLoginsAre503AtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := newTurns()
		for range maxHashing {
			logins.hashing <- struct{}{}
		}
		for range maxWaiting {
			logins.waiting <- struct{}{}
		}
		mux := http.NewServeMux()
		mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
		page := webtest.NewBrowser(t, manager(t, memstore.New()).Handler(mux)).Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
		if page.Status != http.StatusServiceUnavailable {
			t.Errorf("got status %d, want 503", page.Status)
		}
		if got := page.Header.Get("Retry-After"); got == "" {
			t.Error("the response has no Retry-After, want one")
		}
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("got Set-Cookie: %s, want none", got)
		}
	})
}

func TestLoginWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := newTurns()
		for range maxHashing { // other passwords are being hashed
			logins.hashing <- struct{}{}
		}
		ctx, leave := context.WithCancel(t.Context())
		results := make(chan bool, 1)
		go func() {
			right := false
			logins.do(ctx, func() { right = check("admin", "password") })
			results <- right
		}()
		synctest.Wait()
		if len(results) > 0 {
			t.Error("the check returned before it had a turn, want it to wait")
		}
		leave()
		if <-results {
			t.Error("a visitor who left was logged in, want no login")
		}
		for range maxHashing {
			<-logins.hashing
		}
		for range 2 * maxHashing { // each check gives its turn back
			right := false
			if err := logins.do(t.Context(), func() { right = check("admin", "password") }); !right {
				t.Errorf("the right password with a turn: got %v and error %v, want true", right, err)
			}
		}
	})
}

func TestRemovedUserIsSignedOut(t *testing.T) {
	browser := visitor(t, memstore.New(), func(s *session.Session) { signIn(s, "left-us") })
	browser.Get("/sessions").MustBeAt("/login")
	browser.Get("/").MustShow("You are not signed in.")
}

func TestUnusedSessionEndsAfterThirtyMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedInAt(t, memstore.New())
		time.Sleep(30*time.Minute - time.Second)
		browser.Get("/sessions").MustBeAt("/sessions")
		time.Sleep(30 * time.Minute)
		browser.Get("/sessions").MustBeAt("/login")
	})
}

func TestBusySessionEndsAfterTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedInAt(t, memstore.New())
		time.Sleep(20*time.Minute - time.Second)
		for range 12*3 - 1 {
			browser.Get("/sessions").MustBeAt("/sessions")
			time.Sleep(20 * time.Minute)
		}
		browser.Get("/sessions").MustBeAt("/sessions")
		time.Sleep(time.Second)
		browser.Get("/sessions").MustBeAt("/login")
	})
}

// What can go wrong.

func TestStoreThatIsDownIsA503(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New()}
	browser := signedInAt(t, store)
	known := browser.Cookie("/", cookieName)
	takeDown(store)
	stranger := webtest.NewBrowser(t, site(t, store))
	for _, page := range []webtest.Page{
		browser.Get("/"), browser.Get("/sessions"), browser.Post("/note", url.Values{"note": {"x"}}),
		browser.Post("/sessions/end-others", nil), browser.Post("/logout", nil), stranger.Get("/"),
	} {
		mustBeUnavailable(t, page)
	}
	bringBack(store)
	if browser.Cookie("/", cookieName) != known {
		t.Error("the browser has another cookie, want the one from before the failure")
	}
	browser.Get("/sessions").MustBeAt("/sessions")
}

// A site can start before its Redis does.
func TestRedisThatIsNotThereIsA503(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // from here on no server listens at the address
	store, _, err := openStore("redis://"+listener.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	mustBeUnavailable(t, webtest.NewBrowser(t, site(t, store)).Get("/"))
}

func TestListThatFailsIsA503(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New()}
	browser := signedInAt(t, store)
	store.OnList = listIsDown
	for _, page := range []webtest.Page{
		browser.Get("/sessions"), browser.Post("/sessions/end", url.Values{"id": {"x"}}), browser.Post("/sessions/end-others", nil),
		browser.Post("/sessions/end-all", nil),
	} {
		page.MustBe(http.StatusServiceUnavailable, "Service Unavailable\n")
	}
	bringBack(store)
	signedInAt(t, store)
	store.OnList = func(ctx context.Context, owner string) ([]session.Record, error) {
		takeDown(store) // so that the store fails when a session is ended
		return store.Store.List(ctx, owner)
	}
	page := browser.Post("/sessions/end-others", nil)
	page.MustBe(http.StatusServiceUnavailable, "")
	if want := "/sessions/end-others"; page.Path != want {
		t.Errorf("the browser is at %s, want %s", page.Path, want)
	}
}

func TestNoteThatIsTooLargeOrNoTextIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	browser.Post("/note", url.Values{"note": {"the first"}})
	for _, test := range []struct {
		note   string
		status int
		says   string
	}{
		{strings.Repeat("x", maxNote+1), 413, "A note has at most 250000 bytes. This one has 250001."},
		{strings.Repeat("x", 1<<20), 413, "The form is too large"},
		{"\xff", 400, "not text in UTF-8"},
	} {
		browser.Post("/note", url.Values{"note": {test.note}}).MustBe(test.status, test.says)
	}
	browser.Post("/note", nil).MustBe(400, "The form has no field note.")
	browser.Get("/").MustShow("the first")
	browser.Post("/note", url.Values{"note": {strings.Repeat("ü", maxNote/2)}}).MustShow("It has 250000 bytes.")
}

// The end of a page shows the cookie, so each page depends on the session.
func TestEveryPageVariesByCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	browser.Get("/")
	for _, page := range []webtest.Page{browser.Post("/add_to_cart/99", nil), browser.Get("/login"), browser.Get("/race")} {
		if got := page.Header.Get("Vary"); got != "Cookie" {
			t.Errorf("%s: got Vary %q, want Cookie", page.Path, got)
		}
	}
}

func TestTypedHTMLStaysText(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, memstore.New()))
	for _, page := range []webtest.Page{
		browser.Post("/note", url.Values{"note": {"</textarea><script>"}}),
		browser.Post("/login", url.Values{"username": {`"><script>`}}),
		browser.Get("/cart?order=%3Cscript%3E"),
	} {
		page.MustNotShow("<script")
	}
}

func TestOtherFormsAreShort(t *testing.T) {
	browser := signedInAt(t, memstore.New())
	form := url.Values{"username": {strings.Repeat("x", 1<<20)}, "password": {"x"}}
	for _, path := range []string{"/login", "/checkout", "/sessions/end"} {
		browser.Post(path, form).MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 4096 bytes.")
	}
}

func TestChangesTakeAPostFromThisSite(t *testing.T) {
	browser := signedInAt(t, memstore.New())
	for _, path := range []string{"/note", "/logout", "/add_to_cart/1", "/sessions/end", "/sessions/end-others", "/sessions/end-all", "/race/slow", "/race/quick"} {
		browser.Get(path).MustBe(http.StatusMethodNotAllowed, "")
		r := httptest.NewRequest("POST", webtest.Origin+path, nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		browser.Send(r).MustBe(http.StatusForbidden, "")
	}
	browser.Get("/sessions").MustBeAt("/sessions")
}

func TestUnknownStoreIsRefused(t *testing.T) {
	for _, kind := range []string{"", "memory:", "postgres://u:hunter2@localhost", "redis://u:hunter2@", "redis+tls://u:hunter2@h"} {
		_, _, err := openStore(kind, t.TempDir())
		if err == nil {
			t.Fatalf("-store %q: got no error, want one", kind)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("-store %q: got the error %q, want no password in it", kind, err)
		}
	}
	for _, kind := range []string{"file", "memory", "redis://localhost:1/0", "rediss://localhost"} {
		store, _, err := openStore(kind, filepath.Join(t.TempDir(), "sessions"))
		if err != nil {
			t.Fatal(err)
		}
		store.(interface{ Close() error }).Close()
	}
}

var secret = bytes.Repeat([]byte("s"), 32)

// manager returns the manager of one process. It waits 30 seconds for the store, because
// a test on a slow machine must not take the store for one that is down.
func manager(t *testing.T, store session.Store) *session.Manager {
	t.Helper()
	opts := options(store)
	opts.StoreTimeout = 30 * time.Second
	sessions, err := session.New(secret, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// site returns the lesson's handler, as one process has it.
func site(t *testing.T, store session.Store) http.Handler {
	t.Helper()
	return newHandler(manager(t, store), store)
}

// fileStore opens a file store, as one process does.
func fileStore(t *testing.T, dir string) session.Store {
	t.Helper()
	store, err := filestore.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// visitor returns a browser whose session has the values that fill sets.
func visitor(t *testing.T, store session.Store, fill func(*session.Session)) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, manager(t, store).Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fill(session.From(r)) })))
	browser.Get("/")
	browser.Handler = site(t, store)
	return browser
}

// signedInAt returns a browser with the session of the user admin. It uses no password,
// because hashing one is slow.
func signedInAt(t *testing.T, store session.Store) *webtest.Browser {
	t.Helper()
	return visitor(t, store, func(s *session.Session) { signIn(s, "admin") })
}

// withOrder fills the cart, and returns the form of the order page.
func withOrder(t *testing.T, browser *webtest.Browser, ids ...string) url.Values {
	t.Helper()
	for _, id := range ids {
		browser.Post("/add_to_cart/"+id, nil).MustShow("<h1>Products</h1>")
	}
	page := browser.Get("/checkout")
	match := regexp.MustCompile(`name="order" value="(\w+)"`).FindStringSubmatch(page.Body)
	if match == nil {
		t.Fatalf("%s: the page has no order, and says: %s", page.Path, page.Text())
	}
	return url.Values{"order": {match[1]}}
}

// idsOn returns the session IDs in the page's forms.
func idsOn(page webtest.Page) []string {
	var ids []string
	for _, match := range regexp.MustCompile(`name="id" value="([0-9a-f]+)"`).FindAllStringSubmatch(page.Body, -1) {
		ids = append(ids, match[1])
	}
	return ids
}

// atOnce sends the same request, with the browser's cookies, to several handlers.
func atOnce(t *testing.T, browser *webtest.Browser, method, path string, form url.Values, handlers ...http.Handler) {
	t.Helper()
	var all sync.WaitGroup
	for _, handler := range handlers {
		all.Go(func() {
			r := httptest.NewRequest(method, webtest.Origin+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.AddCookie(&http.Cookie{Name: cookieName, Value: browser.Cookie("/", cookieName)})
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code >= 400 {
				t.Errorf("%s %s: got status %d, want one below 400", method, path, w.Code)
			}
		})
	}
	all.Wait()
}

var errDown = errors.New("connection refused")

func listIsDown(context.Context, string) ([]session.Record, error) { return nil, errDown }

// takeDown makes the store fail, until bringBack.
func takeDown(store *storetest.Faulty) {
	down := func(context.Context) error { return errDown }
	store.OnLoad, store.OnSave, store.OnList = down, down, listIsDown
	store.OnDelete = func() error { return errDown }
}

func bringBack(store *storetest.Faulty) {
	store.OnLoad, store.OnSave, store.OnList, store.OnDelete = nil, nil, nil, nil
}

// mustBeUnavailable wants the 503 page without a cookie.
func mustBeUnavailable(t *testing.T, page webtest.Page) {
	t.Helper()
	page.MustBe(http.StatusServiceUnavailable, "")
	if want := "Service Unavailable\n"; page.Body != want {
		t.Errorf("%s: got the body %q, want %q", page.Path, page.Text(), want)
	}
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("%s: got Set-Cookie: %s, want none", page.Path, line)
	}
}

// mustList wants exactly these orders on the page.
func mustList(t *testing.T, page webtest.Page, want ...string) {
	t.Helper()
	var orders []string
	for _, match := range regexp.MustCompile(`<li>(Order [^<]*)</li>`).FindAllStringSubmatch(page.Body, -1) {
		orders = append(orders, match[1])
	}
	page.MustBe(http.StatusOK, "")
	if !slices.Equal(orders, want) {
		t.Errorf("%s: got the orders %q, want %q", page.Path, orders, want)
	}
}

// mustHaveRows wants exactly these rows in the page's table. A row is its cells with |
// between them.
func mustHaveRows(t *testing.T, page webtest.Page, want ...string) {
	t.Helper()
	var rows []string
	for _, match := range regexp.MustCompile(`<tr><td>(.*)</td></tr>`).FindAllStringSubmatch(page.Body, -1) {
		rows = append(rows, strings.ReplaceAll(match[1], "</td><td>", " | "))
	}
	if !slices.Equal(rows, want) {
		t.Errorf("%s: got the rows %q, want %q", page.Path, rows, want)
	}
}
