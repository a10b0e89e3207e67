package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
	"example.com/sessions/internal/session/memstore"
	"example.com/sessions/internal/session/storetest"
	"example.com/sessions/internal/webtest"
)

// Step by step.

func TestEachStepLeadsToTheNext(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	page := browser.Post("/", nil)
	mustBeAt(t, page, "/who")
	form := formOf(page)
	mustBeAt(t, browser.Post(form+"/who", who), "/where")
	mustBeAt(t, browser.Post(form+"/where", where), "/what")
	mustBeAt(t, browser.Post(form+"/what", what()), "/review")
	mustBeAt(t, press(browser, form), "/receipt")
}

func TestReceiptAndOrderHaveEveryAnswer(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	page := press(browser, filledIn(t, browser))
	orders := site.orders(t)
	if len(orders) != 1 {
		t.Fatalf("got %d orders, want 1", len(orders))
	}
	for _, answers := range []url.Values{who, where, what()} {
		for name := range answers {
			page.MustShow(answers.Get(name))
			if !strings.Contains(orders[0], answers.Get(name)) {
				t.Errorf("got the order %s, want the field %s in it", orders[0], name)
			}
		}
	}
}

func TestEveryPostIsAnsweredBySeeOther(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	wrong := url.Values{"name": {"Ada"}, "email": {"ada"}}
	for _, test := range []struct {
		path, leadsTo string
		sent          url.Values
	}{
		{"/who", "/where", who}, {"/who", "/who", wrong}, {"/who", "/where", who},
		{"/review", "/review?changed", nil}, {"/review", "/receipt", hidden(browser.Get(form + "/review"))},
	} {
		page := browser.Send(post(form+test.path, test.sent))
		if page.Status != http.StatusSeeOther {
			t.Errorf("POST %s: got status %d, want 303", test.path, page.Status)
		}
		if got, want := page.Header.Get("Location"), form+test.leadsTo; got != want {
			t.Errorf("POST %s: got Location: %s, want %s", test.path, got, want)
		}
	}
}

func TestBackForwardAndReloadChangeNothing(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	for _, step := range []string{"what", "where", "who", "where", "where", "what", "review", "review"} {
		page := browser.Get(form + "/" + step)
		mustBeAt(t, page, "/"+step)
		if line := page.Header.Get("Set-Cookie"); line != "" {
			t.Errorf("GET %s: got Set-Cookie: %s, want none", step, line)
		}
	}
	browser.Get(form + "/who").MustShow(`value="Ada Lovelace"`)
	browser.Get(form + "/where").MustShow(`value="London"`)
	browser.Get(form + "/what").MustShow("<option selected>Cherry</option>")
	browser.Get(form + "/what").MustShow("Mind the dog.</textarea>")
	mustHaveOrders(t, site, 0)
}

// If no cache has the page, Back asks for it again.
func TestNoCacheStoresThePages(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	pages := []webtest.Page{browser.Get("/"), browser.Get(form + "/who"), browser.Get(form + "/review")}
	for _, page := range append(pages, press(browser, form)) {
		if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
			t.Errorf("%s: got Cache-Control: %q, want %q", page.Path, got, want)
		}
	}
}

func TestNoStepCanBeSkipped(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := newForm(t, browser)
	for _, step := range []struct {
		name    string
		answers url.Values
		later   []string
	}{
		{"who", who, []string{"/where", "/what", "/review", "/receipt", ""}},
		{"where", where, []string{"/what", "/review", "/receipt", ""}},
		{"what", what(), []string{"/review", "/receipt", ""}},
	} {
		for _, later := range step.later {
			mustBeAt(t, browser.Get(form+later), "/"+step.name)
		}
		mustBeAt(t, browser.Post(form+"/review", nil), "/"+step.name)
		browser.Post(form+"/"+step.name, step.answers)
	}
	mustHaveOrders(t, site, 0)
}

func TestSkippingPostStoresNothing(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := newForm(t, browser)
	mustBeAt(t, browser.Post(form+"/where", where), "/who")
	mustBeAt(t, browser.Post(form+"/what", what()), "/who")
	mustBeAt(t, browser.Post(form+"/who", who), "/where")
	browser.Get(form + "/where").MustNotShow("London")
}

func TestProgressIsShown(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	for i, name := range []string{"Who", "Where", "What", "Review"} {
		page := browser.Get(form + "/" + strings.ToLower(name))
		page.MustShow(fmt.Sprintf("Step %d of 4", i+1))
		page.MustShow(fmt.Sprintf(`<progress id="progress" max="4" value="%d">`, i))
		page.MustShow(`<li aria-current="step">` + name + `</li>`)
	}
	page := press(browser, form)
	page.MustShow(`<progress id="progress" max="4" value="4">`)
	page.MustNotShow("<li><a") // no step of a sent form is a link
}

func TestStepsOutOfReachAreNoLinks(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := newForm(t, browser)
	page := browser.Post(form+"/who", who)
	page.MustShow(`<li><a href="` + form + `/who">Who</a></li>`)
	page.MustShow("<li>What</li>")
	page.MustShow("<li>Review</li>")
}

// Wrong answers.

func TestWrongAnswerIsToldBesideItsField(t *testing.T) {
	past, far := day(0), day(31)
	for _, test := range []struct{ step, field, typed, says string }{
		{"who", "name", "", "Name is missing."},
		{"who", "name", "  ", "Name is missing."},
		{"who", "name", strings.Repeat("ü", 81), "Name has 81 characters. The maximum is 80."},
		{"who", "name", "A\x00da", "Name has a character that is not text."},
		{"who", "name", "A\nda", "Name has a character that is not text."},
		{"who", "name", "A\xffda", "Name has a character that is not text."},
		{"who", "email", "ada", "E-mail address must be like ada@example.com."},
		{"who", "email", "ada@", "E-mail address must be like"},
		{"who", "email", "Ada <ada@example.com>", "E-mail address must be like"},
		{"who", "name", "A\u202Eda", "Name has a character that is not text."},
		{"who", "name", "A\u2066da\u2069", "Name has a character that is not text."},
		{"who", "name", "A\u200Bda", "Name has a character that is not text."},
		{"who", "name", "A\u2028da", "Name has a character that is not text."},
		{"who", "name", "A\uFEFFda", "Name has a character that is not text."},
		{"who", "name", "\u3164\u3164", "Name has a character that is not text."},
		{"who", "name", "\u200D\u200C", "Name has no character that one can see."},
		{"who", "name", "\u2800", "Name has no character that one can see."},
		{"who", "name", "\u0301", "Name has no character that one can see."},
		{"who", "email", "ada@example.com\r\nBcc: b@example.com", "E-mail address has a character that is not text."},
		{"where", "street", "", "Street and number is missing."},
		{"where", "postcode", "1234567890123", "Postcode has 13 characters. The maximum is 12."},
		{"where", "town", "", "Town is missing."},
		{"what", "tree", "", "Tree is missing."},
		{"what", "tree", "Beanstalk", "Tree must be one of: Apple, Cherry, Pear, Walnut."},
		{"what", "count", "0", "How many must be a number from 1 to 20."},
		{"what", "count", "-1", "How many must be a number"},
		{"what", "count", "21", "How many must be a number"},
		{"what", "count", "99999999999999999999", "How many must be a number"},
		{"what", "count", "+2", "How many must be a number"},
		{"what", "count", "two", "How many must be a number"},
		{"what", "day", past, "Day of delivery must be from " + day(1) + " to " + day(30) + "."},
		{"what", "day", far, "Day of delivery must be from"},
		{"what", "day", "2026-02-30", "Day of delivery must be from"},
		{"what", "day", "tomorrow", "Day of delivery must be from"},
		{"what", "note", strings.Repeat("x", 1001), "Note for the gardener has 1001 characters. The maximum is 1000."},
	} {
		t.Run(test.field+" "+fmt.Sprintf("%.20q", test.typed), func(t *testing.T) {
			browser := newSite(t).visitor(t)
			form := filledIn(t, browser)
			answers := map[string]url.Values{"who": clone(who), "where": clone(where), "what": what()}[test.step]
			answers.Set(test.field, test.typed)
			page := browser.Post(form+"/"+test.step, answers)
			mustBeAt(t, page, "/"+test.step)
			page.MustShow("<title>Error: ")
			page.MustShow(`<a href="#` + test.field + `">` + test.says) // in the summary
			page.MustShow(`<p class="problem" id="` + test.field + `-problem">` + test.says)
			if n := strings.Count(page.Body, `aria-invalid="true"`); n != 1 {
				t.Errorf("got %d fields with aria-invalid, want 1", n)
			}
			tag := regexp.MustCompile(`id="` + test.field + `" name[^>]*`).FindString(page.Body)
			for _, want := range []string{`aria-invalid="true"`, `aria-describedby="[^"]*` + test.field + `-problem"`} {
				if !regexp.MustCompile(want).MatchString(tag) {
					t.Errorf("got the field %s, want %s in it", tag, want)
				}
			}
			mustBeAt(t, browser.Get(form+"/review"), "/"+test.step)
		})
	}
}

func TestWhatWasTypedIsKept(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := newForm(t, browser)
	page := browser.Post(form+"/who", url.Values{"name": {"Grace"}, "email": {"<grace>"}})
	for _, page := range []webtest.Page{page, browser.Get(form + "/who")} {
		page.MustShow(`role="alert"`)
		page.MustShow(`value="Grace"`)
		page.MustShow(`value="&lt;grace&gt;"`)
	}
}

func TestNothingIsWrongBeforeAnythingIsTyped(t *testing.T) {
	browser := newSite(t).visitor(t)
	page := browser.Get(newForm(t, browser) + "/who")
	page.MustNotShow("aria-invalid")
	page.MustNotShow(`role="alert"`)
	page = browser.Post(page.Path, nil)
	page.MustShow("Name is missing.")
}

func TestValuesInTheAddressAreIgnored(t *testing.T) {
	browser := newSite(t).visitor(t)
	mustBeAt(t, browser.Post(newForm(t, browser)+"/who?"+who.Encode(), nil), "/who")
}

func TestFirstValueOfARepeatedFieldIsUsed(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := newForm(t, browser)
	browser.Post(form+"/who", url.Values{"name": {"Ada", ""}, "email": {"ada@example.com", "x"}})
	browser.Get(form + "/who").MustShow(`value="Ada"`)
}

// The day of delivery was right when the visitor typed it. A day later it is wrong.
func TestAllStepsAreCheckedAgainAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t)
		browser := site.visitor(t)
		form := newForm(t, browser)
		browser.Post(form+"/who", who)
		browser.Post(form+"/where", where)
		soon := what()
		soon.Set("day", day(1))
		review := browser.Post(form+"/what", soon)
		mustBeAt(t, review, "/review")

		time.Sleep(24 * time.Hour)
		page := browser.Post(form+"/review", hidden(review))
		mustBeAt(t, page, "/what")
		page.MustShow("Day of delivery must be from 2000-01-03")
		page.MustShow(`value="2000-01-02"`)
		mustHaveOrders(t, site, 0)
	})
}

// Coming back.

func TestFormOutlivesTheBrowser(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := newForm(t, browser)
	browser.Post(form+"/who", who)
	browser.Restart()
	browser.Get("/").MustShow(`href="` + form + `"`)
	mustBeAt(t, browser.Get(form), "/where")
	browser.Get(form + "/who").MustShow(`value="Ada Lovelace"`)
}

func TestFormAndReceiptOutliveTheProgram(t *testing.T) {
	dir := t.TempDir()
	browser := webtest.NewBrowser(t, inFiles(t, dir).process(t))
	open, sent := newForm(t, browser), filledIn(t, browser)
	browser.Post(open+"/who", who)
	press(browser, sent)
	browser.Handler = inFiles(t, dir).process(t)
	mustBeAt(t, browser.Get(open), "/where")
	browser.Get(sent + "/receipt").MustShow("Ada Lovelace")
}

func TestFormWaitsForAWeekAfterTheLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := newSite(t).visitor(t)
		form := newForm(t, browser)
		for range 3 {
			time.Sleep(19 * time.Hour)
			mustBeAt(t, browser.Get(form), "/who")
			time.Sleep(7 * 24 * time.Hour)
			mustBeAt(t, browser.Get(form), "/who")
		}
		time.Sleep(8 * 24 * time.Hour)
		browser.Get(form).MustBe(http.StatusNotFound, "There is no such form.")
	})
}

func TestCookieCarriesAnIDAndIsPermanent(t *testing.T) {
	browser := newSite(t).visitor(t)
	line := browser.Send(post("/", nil)).Header.Get("Set-Cookie")
	_, attributes, _ := strings.Cut(line, "; ")
	if want := "Path=/; Max-Age=691200; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("got the attributes %q, want %q", attributes, want)
	}
	parts, err := session.Inspect(browser.Cookie("/", cookieName))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[A-Z2-7]{26}$`).Match(parts.Payload) {
		t.Errorf("got the payload %s, want an ID of 26 characters", parts.Payload)
	}
}

// Several forms, several tabs.

func TestTwoFormsInTwoTabsDoNotMix(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	one, two := newForm(t, browser), newForm(t, browser)
	grace := url.Values{"name": {"Grace Hopper"}, "email": {"grace@example.com"}}
	browser.Post(one+"/who", who)
	browser.Post(two+"/who", grace)
	browser.Get(one + "/who").MustShow("Ada Lovelace")
	browser.Get(two + "/who").MustShow("Grace Hopper")
	browser.Post(one+"/where", where)
	browser.Post(one+"/what", what())
	mustBeAt(t, press(browser, one), "/receipt")
	mustBeAt(t, browser.Get(two), "/where")
	browser.Get(two + "/who").MustShow("Grace Hopper")
}

func TestTwoTabsAtOnceLoseNothing(t *testing.T) {
	site := newSite(t)
	store := &storetest.Meeting{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	one, two := newForm(t, browser), newForm(t, browser)
	store.Next(2)
	atOnce(t, browser,
		[]http.Handler{site.process(t), site.process(t)},
		[]*http.Request{post(one+"/who", who), post(two+"/who", who)})
	mustBeAt(t, browser.Get(one), "/where")
	mustBeAt(t, browser.Get(two), "/where")
}

func TestIfTwoTabsHaveOneFormTheLastAnswerOfAStepWins(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	paris := clone(where)
	paris.Set("town", "Paris")
	browser.Post(form+"/where", paris)
	browser.Post(form+"/who", who) // an answer to another step does not change the town
	page := press(browser, form)
	page.MustShow("Paris")
	page.MustNotShow("London")
}

func TestReviewSendsOnlyWhatItShowed(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	review := browser.Get(form + "/review")
	paris := clone(where)
	paris.Set("town", "Paris")
	browser.Post(form+"/where", paris) // in another tab

	page := browser.Post(form+"/review", hidden(review))
	page.MustShow("Nothing was sent yet.")
	page.MustShow("Paris")
	mustHaveOrders(t, site, 0)
	mustBeAt(t, browser.Post(form+"/review", hidden(page)), "/receipt")
}

func TestSixthFormIsRefusedAndNothingIsLost(t *testing.T) {
	browser := newSite(t).visitor(t)
	var all []string
	for range 5 {
		all = append(all, newForm(t, browser))
	}
	page := browser.Post("/", nil)
	page.MustShow("Five forms are open. That is the maximum.")
	for _, form := range all {
		page.MustShow(`action="` + form + `/discard"`)
		mustBeAt(t, browser.Get(form), "/who")
	}
	browser.Post(all[2]+"/discard", nil).MustBe(http.StatusOK, "Begin a form")
	browser.Get(all[2]).MustBe(http.StatusNotFound, "There is no such form.")
	mustBeAt(t, browser.Post("/", nil), "/who")
}

func TestFormsBegunAtOnceAreFiveAtMost(t *testing.T) {
	site := newSite(t)
	store := &storetest.Meeting{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	newForm(t, browser)
	store.Next(8)
	handlers, requests := make([]http.Handler, 8), make([]*http.Request, 8)
	for i := range requests {
		handlers[i], requests[i] = browser.Handler, post("/", nil)
	}
	atOnce(t, browser, handlers, requests)
	if n := strings.Count(browser.Get("/").Body, "/discard"); n != 5 {
		t.Errorf("got %d open forms, want 5", n)
	}
}

func TestSentFormMakesRoom(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	for range 4 {
		newForm(t, browser)
	}
	press(browser, form)
	mustBeAt(t, browser.Post("/", nil), "/who")
}

// A client-side session would be too small for this, because a cookie has at most 4096
// bytes.
func TestFiveLongestFormsAreStored(t *testing.T) {
	browser := newSite(t).visitor(t)
	long := what()
	long.Set("note", strings.Repeat("🌳", 1000))
	var all []string
	for range 5 {
		form := filledIn(t, browser)
		mustBeAt(t, browser.Post(form+"/what", long), "/review")
		all = append(all, form)
	}
	for _, form := range all {
		browser.Get(form + "/review").MustShow(strings.Repeat("🌳", 1000))
	}
}

// Sending once.

func TestSendingTwiceSendsOnce(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	button := hidden(browser.Get(form + "/review"))
	for range 3 {
		page := browser.Post(form+"/review", button)
		if want := form + "/receipt"; page.Path != want {
			t.Errorf("the button leads to %s, want %s", page.Path, want)
		}
	}
	mustHaveOrders(t, site, 1)
}

// All requests load the session before the first of them saves it, so no request can see
// the change of another. The log has a line for each order that is sent.
func TestSixtyFourPressesAtOnceSendOnce(t *testing.T) {
	site := newSite(t)
	store := &storetest.Meeting{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	form := filledIn(t, browser)
	button := hidden(browser.Get(form + "/review"))
	processes := []http.Handler{browser.Handler, site.process(t)}
	handlers, requests := make([]http.Handler, 64), make([]*http.Request, 64)
	for i := range requests {
		handlers[i], requests[i] = processes[i%2], post(form+"/review", button)
	}
	var logged bytes.Buffer
	log.SetOutput(&logged) // package log writes one line at a time
	defer log.SetOutput(os.Stderr)
	store.Next(64)
	for _, location := range atOnce(t, browser, handlers, requests) {
		if want := form + "/receipt"; location != want {
			t.Errorf("a press leads to %s, want %s", location, want)
		}
	}
	mustHaveOrders(t, site, 1)
	if n := strings.Count(logged.String(), "is in the outbox"); n != 1 {
		t.Errorf("got %d orders in the log, want 1: %s", n, &logged)
	}
	browser.Get(form + "/receipt").MustShow("Ada Lovelace")
}

func TestTwoProgramsWithOneDirectorySendOnce(t *testing.T) {
	dir := t.TempDir()
	browser := webtest.NewBrowser(t, inFiles(t, dir).process(t))
	form := filledIn(t, browser)
	button := hidden(browser.Get(form + "/review"))
	var handlers []http.Handler
	var requests []*http.Request
	for range 4 {
		handlers = append(handlers, inFiles(t, dir).process(t))
		requests = append(requests, post(form+"/review", button))
	}
	atOnce(t, browser, handlers, requests)
	mustHaveOrders(t, inFiles(t, dir), 1)
}

// The outbox has the order, but the session was not saved. The order in the outbox stays
// as it is.
func TestPressAfterASessionThatWasNotSavedSendsNoSecond(t *testing.T) {
	site := newSite(t)
	store := &storetest.Faulty{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	form := filledIn(t, browser)
	button := hidden(browser.Get(form + "/review"))
	store.OnSave = func(context.Context) error { return errors.New("disk full") }
	browser.Post(form+"/review", button).MustBe(http.StatusServiceUnavailable, "Service Unavailable")
	store.OnSave = nil

	paris := clone(where)
	paris.Set("town", "Paris")
	browser.Post(form+"/where", paris)
	page := press(browser, form)
	mustBeAt(t, page, "/receipt")
	page.MustShow("London")
	mustHaveOrders(t, site, 1)
	if order := site.orders(t)[0]; strings.Contains(order, "Paris") {
		t.Errorf("got the order %s, want the one for London", order)
	}
}

func TestOutboxThatFailsIsA503AndTheAnswersStay(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	button := hidden(browser.Get(form + "/review"))
	site.root.Close()
	browser.Post(form+"/review", button).MustBe(http.StatusServiceUnavailable, "Your answers are still here.")

	browser.Handler = site.process(t) // the program was started again
	mustBeAt(t, browser.Post(form+"/review", button), "/receipt")
	mustHaveOrders(t, site, 1)
}

func TestSentFormIsClosed(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	press(browser, form)
	before := site.orders(t)
	for _, step := range []string{"", "/who", "/where", "/what", "/review"} {
		mustBeAt(t, browser.Get(form+step), "/receipt")
	}
	for _, page := range []webtest.Page{
		browser.Post(form+"/who", url.Values{"name": {"Grace"}}), browser.Post(form+"/review", nil), browser.Post(form+"/discard", nil),
	} {
		mustBeAt(t, page, "/receipt")
		page.MustShow("Ada Lovelace")
	}
	mustHaveOrders(t, site, 1)
	if after := site.orders(t); after[0] != before[0] {
		t.Errorf("got the order %s, want %s", after[0], before[0])
	}
}

// One tab sends the form, and another tab discards it at the same time. Either of the two
// can be saved first.
func TestSendBesideADiscardKeepsTheReceipt(t *testing.T) {
	for _, paths := range [][2]string{{"/review", "/discard"}, {"/discard", "/review"}} {
		site := newSite(t)
		store := &storetest.Faulty{Store: site.store}
		site.store = store
		browser, other := site.visitor(t), site.process(t)
		form := filledIn(t, browser)
		button := hidden(browser.Get(form + "/review"))
		store.OnSave = func(context.Context) error { // another request comes before the save
			store.OnSave = nil
			atOnce(t, browser, []http.Handler{other}, []*http.Request{post(form+paths[1], button)})
			return nil
		}
		browser.Post(form+paths[0], button)
		mustBeAt(t, browser.Get(form), "/receipt")
		mustHaveOrders(t, site, 1)
	}
}

// While one tab saves an answer, another tab sends or discards the form.
func TestAnswerBesideASendOrADiscardIsTooLate(t *testing.T) {
	for _, path := range []string{"/review", "/discard"} {
		site := newSite(t)
		store := &storetest.Faulty{Store: site.store}
		site.store = store
		browser, other := site.visitor(t), site.process(t)
		form := filledIn(t, browser)
		button := hidden(browser.Get(form + "/review"))
		store.OnSave = func(context.Context) error { // another request comes before the save
			store.OnSave = nil
			atOnce(t, browser, []http.Handler{other}, []*http.Request{post(form+path, button)})
			return nil
		}
		page := browser.Post(form+"/who", url.Values{"name": {"Grace"}, "email": {"grace@example.com"}})
		page.MustNotShow("Grace")
		switch path {
		case "/review":
			mustBeAt(t, page, "/receipt")
		case "/discard":
			page.MustBe(http.StatusNotFound, "There is no such form.")
		}
	}
}

func TestTenReceiptsAreRemembered(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	var all []string
	for range 11 {
		form := filledIn(t, browser)
		press(browser, form)
		all = append(all, form)
	}
	if n := strings.Count(browser.Get("/").Body, "/receipt"); n != 10 {
		t.Errorf("got %d receipts, want 10", n)
	}
	mustBeAt(t, browser.Get(all[1]+"/receipt"), "/receipt")
	for _, page := range []webtest.Page{browser.Get(all[0] + "/receipt"), browser.Post(all[0]+"/review", nil)} {
		page.MustBe(http.StatusNotFound, "There is no such form.")
	}
	mustHaveOrders(t, site, 11)
}

func TestRemovedOrderLeavesAReceipt(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	press(browser, form)
	files, _ := filepath.Glob(filepath.Join(site.outbox, "*.json"))
	for _, file := range files {
		os.Remove(file)
	}
	browser.Get(form+"/receipt").MustBe(http.StatusGone, "This order was sent")
}

// Other visitors, and requests that the site refuses.

func TestNoOneSeesTheFormOfAnotherVisitor(t *testing.T) {
	site := newSite(t)
	browser, stranger := site.visitor(t), site.visitor(t)
	open, sent := filledIn(t, browser), filledIn(t, browser)
	press(browser, sent)
	newForm(t, stranger)
	for _, page := range []webtest.Page{
		stranger.Get(open), stranger.Get(open + "/who"), stranger.Post(open+"/who", who),
		stranger.Post(open+"/discard", nil), stranger.Get(sent + "/receipt"), stranger.Post(sent+"/review", nil),
	} {
		page.MustBe(http.StatusNotFound, "There is no such form.")
	}
	mustBeAt(t, browser.Get(open), "/review")
}

func TestUnknownPagesAreNotFound(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := newForm(t, browser)
	for _, path := range []string{
		"/forms", "/forms/", "/forms//who", "/forms/x/who", "/forms/x/receipt", "/forms/%2e%2e%2fx/receipt", "/forms/%3Cscript%3E",
		form + "/why", form + "/", form + "/who/", "/forms/" + strings.Repeat("A", 100_000),
	} {
		page := browser.Get(path)
		page.MustBe(http.StatusNotFound, "")
		page.MustNotShow("<script")
	}
}

func TestReadingBeginsNoSession(t *testing.T) {
	browser := newSite(t).visitor(t)
	for _, path := range []string{"/", "/forms/x", "/forms/x/who"} {
		if line := browser.Get(path).Header.Get("Set-Cookie"); line != "" {
			t.Errorf("GET %s: got Set-Cookie: %s, want none", path, line)
		}
	}
}

func TestChangesTakeAPostFromThisSite(t *testing.T) {
	site := newSite(t)
	browser := site.visitor(t)
	form := filledIn(t, browser)
	button := hidden(browser.Get(form + "/review"))
	browser.Get(form+"/discard").MustBe(http.StatusMethodNotAllowed, "")
	for path, sent := range map[string]url.Values{"/": nil, form + "/who": {}, form + "/review": button, form + "/discard": nil} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"} {
			t.Run(path+" with "+name, func(t *testing.T) {
				r := post(path, sent)
				r.Header.Set(name, value)
				browser.Send(r).MustBe(http.StatusForbidden, "")
			})
		}
	}
	mustBeAt(t, browser.Get(form), "/review")
	mustHaveOrders(t, site, 0)
}

func TestTypedHTMLStaysText(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	const script = `</textarea>"><script>`
	for _, page := range []webtest.Page{
		browser.Post(form+"/who", url.Values{"name": {script}, "email": {script}}), browser.Get("/"),
		browser.Post(form+"/who", url.Values{"name": {script}, "email": {"ada@example.com"}}),
		browser.Post(form+"/what", url.Values{"tree": {script}, "count": {script}, "day": {script}, "note": {script}}), browser.Get("/"),
		browser.Post(form+"/what", url.Values{"tree": {"Pear"}, "count": {"1"}, "day": {day(2)}, "note": {script}}),
		press(browser, form),
	} {
		page.MustBe(http.StatusOK, "")
		page.MustNotShow("<script")
	}
}

func TestFormThatIsTooLargeOrDamagedIsRefused(t *testing.T) {
	browser := newSite(t).visitor(t)
	form := filledIn(t, browser)
	large := clone(who)
	large.Set("name", strings.Repeat("x", 1<<20))
	browser.Post(form+"/who", large).MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 16384 bytes.")
	browser.Post(form+"/review", large).MustBe(http.StatusRequestEntityTooLarge, "The form is too large")
	r := httptest.NewRequest("POST", webtest.Origin+form+"/who", strings.NewReader("name=%zz"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	browser.Send(r).MustBe(http.StatusBadRequest, "The form is damaged.")
	mustBeAt(t, browser.Get(form), "/review")
}

func TestStoreThatIsDownIsA503(t *testing.T) {
	site := newSite(t)
	store := &storetest.Faulty{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	form := filledIn(t, browser)
	store.OnSave = func(context.Context) error { return errors.New("disk full") }
	for _, page := range []webtest.Page{browser.Post("/", nil), browser.Post(form+"/who", who), browser.Post(form+"/discard", nil)} {
		page.MustBe(http.StatusServiceUnavailable, "Service Unavailable")
	}
	store.OnSave = nil
	mustBeAt(t, browser.Get(form), "/review")
}

// The signature is valid, but the site did not store these values.
func TestSessionOfAnotherShapeIsReadWithCare(t *testing.T) {
	for _, stored := range []any{
		"text", 3, nil, []string{"x"}, map[string]int{"id": 1}, []any{nil}, []any{map[string]any{}},
		[]any{map[string]any{"id": "../x", "sent": true}}, []any{map[string]any{"id": 7}},
		[]any{map[string]any{"id": "X", "answers": map[string]string{"name": "<script>"}}},
	} {
		site := newSite(t)
		browser := webtest.NewBrowser(t, site.manager(t).Handler(http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { session.Key[any]("forms").Set(session.From(r), stored) })))
		browser.Get("/")
		browser.Handler = site.process(t)
		browser.Get("/").MustNotShow("<script")
		for _, path := range []string{"/forms/X/who", "/forms/X/receipt", "/forms/7/who"} {
			if page := browser.Get(path); page.Status >= 500 {
				t.Errorf("%v: %s: got status %d, want less than 500", stored, path, page.Status)
			}
		}
		mustBeAt(t, press(browser, filledIn(t, browser)), "/receipt")
	}
}

// site is a store and an outbox. The processes of a site share only these two.
type site struct {
	store  session.Store
	outbox string
	root   *os.Root // the outbox as the last process opened it
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{store: memstore.New(), outbox: t.TempDir()}
}

// inFiles returns a site whose store and outbox are in dir, as one process opens it.
func inFiles(t *testing.T, dir string) *site {
	t.Helper()
	store, err := filestore.New(filepath.Join(dir, "sessions"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	outbox := filepath.Join(dir, "outbox")
	if err := os.MkdirAll(outbox, 0o700); err != nil {
		t.Fatal(err)
	}
	return &site{store: store, outbox: outbox}
}

var secret = bytes.Repeat([]byte("s"), 32)

// manager returns the session manager of one process. Its StoreTimeout is long, so that
// on a slow machine the store does not seem to be down.
func (s *site) manager(t *testing.T) *session.Manager {
	t.Helper()
	opts := options(s.store)
	opts.StoreTimeout = 30 * time.Second
	sessions, err := session.New(secret, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// process returns the handler of another process of the site.
func (s *site) process(t *testing.T) http.Handler {
	t.Helper()
	root, err := os.OpenRoot(s.outbox)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	s.root = root
	return newHandler(s.manager(t), root)
}

// visitor returns a new browser.
func (s *site) visitor(t *testing.T) *webtest.Browser {
	t.Helper()
	return webtest.NewBrowser(t, s.process(t))
}

// orders returns the content of the files in the outbox.
func (s *site) orders(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.outbox, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var orders []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		orders = append(orders, string(content))
	}
	return orders
}

var (
	who   = url.Values{"name": {"Ada Lovelace"}, "email": {"ada@example.com"}}
	where = url.Values{"street": {"12 Square"}, "postcode": {"SW1Y 4JH"}, "town": {"London"}}
)

func what() url.Values {
	return url.Values{"tree": {"Cherry"}, "count": {"2"}, "day": {day(7)}, "note": {"Mind the dog."}}
}

// day returns a date in the format of the form.
func day(fromToday int) string {
	return time.Now().UTC().AddDate(0, 0, fromToday).Format(time.DateOnly)
}

func clone(form url.Values) url.Values {
	copied := make(url.Values)
	for name, values := range form {
		copied[name] = values
	}
	return copied
}

// newForm begins a form and returns the path of its pages.
func newForm(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	page := browser.Post("/", nil)
	mustBeAt(t, page, "/who")
	return formOf(page)
}

func formOf(page webtest.Page) string {
	return strings.TrimSuffix(page.Path, "/who")
}

// filledIn begins a form, fills in every step, and returns the path of its pages.
func filledIn(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	form := newForm(t, browser)
	browser.Post(form+"/who", who)
	browser.Post(form+"/where", where)
	mustBeAt(t, browser.Post(form+"/what", what()), "/review")
	return form
}

// press opens the review and presses its button.
func press(browser *webtest.Browser, form string) webtest.Page {
	return browser.Post(form+"/review", hidden(browser.Get(form+"/review")))
}

// hidden returns the hidden fields of a page.
func hidden(page webtest.Page) url.Values {
	form := make(url.Values)
	for _, match := range regexp.MustCompile(`<input type="hidden" name="(\w+)" value="(\w*)"`).FindAllStringSubmatch(page.Body, -1) {
		form.Set(match[1], match[2])
	}
	return form
}

func post(path string, form url.Values) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// atOnce sends all requests at the same time, each with the browser's cookie and to its
// handler. It returns their Locations.
func atOnce(t *testing.T, browser *webtest.Browser, handlers []http.Handler, requests []*http.Request) []string {
	t.Helper()
	locations := make([]string, len(requests))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() {
			r.AddCookie(&http.Cookie{Name: cookieName, Value: browser.Cookie("/", cookieName)})
			w := httptest.NewRecorder()
			handlers[i].ServeHTTP(w, r)
			if w.Code != http.StatusSeeOther {
				t.Errorf("POST %s: got status %d, want 303: %.600s", r.URL.Path, w.Code, w.Body)
			}
			locations[i] = w.Header().Get("Location")
		})
	}
	all.Wait()
	return locations
}

// mustBeAt wants status 200, and a path that ends with this step.
func mustBeAt(t *testing.T, page webtest.Page, step string) {
	t.Helper()
	if page.Status != http.StatusOK {
		t.Errorf("%s: got status %d, want 200", page.Path, page.Status)
	}
	if !strings.HasSuffix(page.Path, step) {
		t.Errorf("the browser is at %s, want %s", page.Path, step)
	}
}

// mustHaveOrders wants so many orders in the outbox.
func mustHaveOrders(t *testing.T, site *site, want int) {
	t.Helper()
	if got := len(site.orders(t)); got != want {
		t.Fatalf("got %d orders, want %d", got, want)
	}
}
