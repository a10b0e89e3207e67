package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// The tests are in the order of the task: the easy ones come first. They look at the
// status, the address, fields by their names, links, and the texts that the task names.
//
// In a bubble of synctest, the clock starts at midnight UTC on Saturday, 1 January 2000,
// and a week passes at once.

// To begin a form.

func TestStartPageHasAButtonThatBeginsAForm(t *testing.T) {
	page := newTestSite(t).visitor(t).Get("/")
	page.MustShow("Begin a form")
	if got := testActions(page); !slices.Contains(got, "/") {
		t.Errorf("want a form that posts to /, and the forms of the page post to %q", got)
	}
}

func TestBeginLeadsToTheFirstStep(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	first := mustRedirect(t, browser.Send(testPost("/", nil)), "/who")
	second := mustRedirect(t, browser.Send(testPost("/", nil)), "/who")
	if first == second {
		t.Errorf("two forms have the address %s, want a random ID in each", first)
	}
	browser.Get(first).MustShow("Step 1 of 4")
}

func TestCookieCarriesAnIDAndIsPermanent(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	line := browser.Send(testPost("/", nil)).Header.Get("Set-Cookie")
	name, _, _ := strings.Cut(line, "=")
	_, attributes, _ := strings.Cut(line, "; ")
	if name != "form" {
		t.Fatalf("got the cookie %q, want form", name)
	}
	if want := "Path=/; Max-Age=691200; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("got the attributes %q, want %q", attributes, want)
	}
	parts, err := session.Inspect(browser.Cookie("/", "form"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[A-Z2-7]{26}$`).Match(parts.Payload) {
		t.Errorf("got the payload %s, want an ID of 26 characters, which a session in a Store has", parts.Payload)
	}
}

// A program that fetches pages by itself, such as a crawler, must leave nothing in the
// store.
func TestReadingBeginsNoSession(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	browser.Get("/").MustShow("")
	for _, path := range []string{"/", "/forms/x", "/forms/x/who"} {
		page := browser.Get(path)
		if path != "/" {
			page.MustBe(http.StatusNotFound, "There is no such form.")
		}
		if line := page.Header.Get("Set-Cookie"); line != "" {
			t.Errorf("GET %s: got Set-Cookie: %s, want none", path, line)
		}
	}
}

func TestOpenFormIsListed(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	page := browser.Get("/")
	if got := testLinks(page); !slices.Contains(got, form) {
		t.Errorf("want a link to %s on the first page, and it has links to %q", form, got)
	}
	if got, want := testActions(page), form+"/discard"; !slices.Contains(got, want) {
		t.Errorf("want a form that posts to %s, and the forms of the page post to %q", want, got)
	}
	mustBeAt(t, browser.Get(form), "/who")
}

func TestDiscardedFormIsGone(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	gone, kept := mustBegin(t, browser), mustBegin(t, browser)
	page := browser.Post(gone+"/discard", nil)
	page.MustBeAt("/")
	if got := testOpen(page); !slices.Equal(got, []string{kept}) {
		t.Errorf("want one open form, %s, and the first page has %q", kept, got)
	}
	browser.Get(gone).MustBe(http.StatusNotFound, "There is no such form.")
}

// Right answers.

func TestFirstStepHasItsFields(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	page := browser.Get(mustBegin(t, browser) + "/who")
	mustHaveValue(t, page, "name", "")
	mustHaveValue(t, page, "email", "")
}

func TestRightAnswersLeadToTheNextStep(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	for _, step := range []struct {
		name, next string
		answers    url.Values
	}{{"who", "where", testWho}, {"where", "what", testWhere}, {"what", "review", testWhat()}} {
		for name := range step.answers {
			mustHaveValue(t, browser.Get(form+"/"+step.name), name, "")
		}
		mustRedirect(t, browser.Send(testPost(form+"/"+step.name, step.answers)), form+"/"+step.next)
	}
}

func TestAnswersStayInTheirFields(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	mustHaveValues(t, browser.Get(form+"/who"), testWho)
	mustHaveValues(t, browser.Get(form+"/where"), testWhere)
	mustHaveValues(t, browser.Get(form+"/what"), testWhat())
}

func TestFormLeadsToItsFirstUnfinishedStep(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	for _, step := range []struct {
		name    string
		answers url.Values
	}{{"who", testWho}, {"where", testWhere}, {"what", testWhat()}} {
		mustRedirect(t, browser.Send(httptest.NewRequest("GET", webtest.Origin+form, nil)), form+"/"+step.name)
		browser.Send(testPost(form+"/"+step.name, step.answers))
	}
	mustRedirect(t, browser.Send(httptest.NewRequest("GET", webtest.Origin+form, nil)), form+"/review")
}

func TestValuesInTheAddressAreIgnored(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	mustBeAt(t, browser.Post(mustBegin(t, browser)+"/who?"+testWho.Encode(), nil), "/who")
}

func TestFirstValueOfARepeatedFieldIsUsed(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	browser.Post(form+"/who", url.Values{"name": {"Ada", ""}, "email": {"ada@example.com", "x"}})
	mustHaveValue(t, browser.Get(form+"/who"), "name", "Ada")
}

// Wrong answers.

func TestMissingAnswerIsToldBesideItsField(t *testing.T) {
	for _, test := range []struct{ step, field, typed string }{
		{"who", "name", ""}, {"who", "name", "  "}, {"who", "email", ""},
		{"where", "street", ""}, {"where", "postcode", ""}, {"where", "town", ""},
		{"what", "tree", ""}, {"what", "count", ""}, {"what", "day", ""},
	} {
		mustRefuse(t, test.step, test.field, test.typed, "")
	}
	browser := newTestSite(t).visitor(t)
	page := browser.Post(mustBegin(t, browser)+"/who", nil) // not even the names of the fields
	if got := testInvalid(page); !slices.Equal(got, []string{"email", "name"}) {
		t.Errorf("an empty form: want aria-invalid at name and email, got it at %q", got)
	}
}

func TestNoteCanBeEmpty(t *testing.T) {
	mustAccept(t, "what", "note", "")
}

func TestNothingIsWrongBeforeAnythingIsTyped(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	page := browser.Get(mustBegin(t, browser) + "/who")
	if got := testInvalid(page); page.Status != http.StatusOK || len(got) > 0 {
		t.Errorf("got status %d and aria-invalid at %q, want 200 and no field", page.Status, got)
	}
}

func TestWhatWasTypedIsKept(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	typed := url.Values{"name": {"Grace"}, "email": {"<grace>"}}
	for _, page := range []webtest.Page{browser.Post(form+"/who", typed), browser.Get(form + "/who")} {
		mustHaveValues(t, page, typed)
		if got := testInvalid(page); !slices.Equal(got, []string{"email"}) {
			t.Errorf("want aria-invalid at email, got it at %q", got)
		}
	}
}

// A problem with the length names the maximum.
func TestAnswerThatIsTooLongIsToldTheMaximum(t *testing.T) {
	for _, test := range []struct {
		step, field string
		most        int
	}{{"who", "name", 80}, {"where", "street", 120}, {"where", "postcode", 12}, {"where", "town", 80}, {"what", "note", 1000}} {
		mustAccept(t, test.step, test.field, strings.Repeat("ü", test.most))
		mustRefuse(t, test.step, test.field, strings.Repeat("ü", test.most+1), fmt.Sprint(test.most))
	}
	mustRefuse(t, "who", "email", strings.Repeat("x", 243)+"@example.com", "254")
}

func TestAddressMustBeAnAddressAlone(t *testing.T) {
	for _, typed := range []string{"ada", "ada@", "Ada <ada@example.com>", "ada@example.com\r\nBcc: b@example.com"} {
		mustRefuse(t, "who", "email", typed, "")
	}
}

// A problem names the answers that would be right.
func TestTreeCountAndDayAreChecked(t *testing.T) {
	mustRefuse(t, "what", "tree", "Beanstalk", "Apple, Cherry, Pear, Walnut")
	for _, typed := range []string{"0", "-1", "21", "99999999999999999999", "+2", "two"} {
		mustRefuse(t, "what", "count", typed, "from 1 to 20")
	}
	for _, typed := range []string{testDay(0), testDay(31), "2026-02-30", "tomorrow"} {
		mustRefuse(t, "what", "day", typed, "from "+testDay(1)+" to "+testDay(30))
	}
	mustAccept(t, "what", "count", "20")
	mustAccept(t, "what", "day", testDay(1))
	mustAccept(t, "what", "day", testDay(30))
}

// Some characters change what the others look like. U+202E reverses the letters after it,
// so that one name looks like another.
func TestTextWithHiddenCharactersIsRefused(t *testing.T) {
	for _, typed := range []string{
		"A\x00da", "A\nda", "A\xffda", "A\u202Eda", "A\u2066da\u2069", "A\u200Bda", "A\u2028da", "A\uFEFFda",
	} {
		mustRefuse(t, "who", "name", typed, "")
	}
	mustRefuse(t, "what", "note", "A\u202Eda", "")
}

// Some letters show nothing, such as U+3164, which is a filler for Korean text.
func TestTextThatShowsNothingIsRefused(t *testing.T) {
	for _, typed := range []string{"\u200B", "\u200D\u200C", "\u2800", "\u0301", "\u3164\u3164", "\u115F", "\u1160", "\uFFA0", "A\u3164da"} {
		mustRefuse(t, "who", "name", typed, "")
	}
}

func TestNamesOfTheWorldAreAccepted(t *testing.T) {
	for _, name := range []string{"李", "O’Neill-Müller", "X Æ A-12", "علی\u200Cرضا", "क्\u200Dष", "A\u0301da"} {
		mustAccept(t, "who", "name", name)
	}
	mustAccept(t, "what", "note", "🌳")
	mustAccept(t, "what", "note", "👩\u200D🌾 is at home.\nMind\tthe dog ❤️")
}

// Browsers send a line end as two characters, CR and LF.
func TestLineEndInANoteIsOneCharacter(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	what := testWhat()
	what.Set("note", strings.Repeat("x\r\n", 499)+"xx")
	mustRedirect(t, browser.Send(testPost(form+"/what", what)), form+"/review")
	mustHaveValue(t, browser.Get(form+"/what"), "note", strings.Repeat("x\n", 499)+"xx")
}

// The way to the end.

func TestNoStepCanBeSkipped(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustBegin(t, browser)
	for _, step := range []struct {
		name    string
		answers url.Values
		later   []string
	}{
		{"who", testWho, []string{"/where", "/what", "/review", "/receipt", ""}},
		{"where", testWhere, []string{"/what", "/review", "/receipt", ""}},
		{"what", testWhat(), []string{"/review", "/receipt", ""}},
	} {
		for _, later := range step.later {
			mustBeAt(t, browser.Get(form+later), "/"+step.name)
		}
		mustBeAt(t, browser.Post(form+"/review", nil), "/"+step.name)
		browser.Send(testPost(form+"/"+step.name, step.answers))
	}
	mustHaveOrders(t, site, 0)
}

func TestSkippingPostStoresNothing(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	mustBeAt(t, browser.Post(form+"/where", testWhere), "/who")
	mustBeAt(t, browser.Post(form+"/what", testWhat()), "/who")
	mustBeAt(t, browser.Post(form+"/who", testWho), "/where")
	mustHaveValue(t, browser.Get(form+"/where"), "town", "")
}

func TestReviewShowsEveryAnswer(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	page := browser.Get(mustFillIn(t, browser) + "/review")
	mustShowAnswers(t, page, testWho, testWhere, testWhat())
}

func TestButtonOfTheReviewSendsTheOrder(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	mustRedirect(t, browser.Send(testPost(form+"/review", button)), form+"/receipt")
	mustHaveOrders(t, site, 1)
}

func TestOrderIsAFileAndALineInTheLog(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	logged := testLog(t)
	form := mustFillIn(t, browser)
	mustSend(t, browser, form)
	id := strings.TrimPrefix(form, "/forms/")
	orders := site.orders(t)
	if got := slices.Collect(maps.Keys(orders)); !slices.Equal(got, []string{id + ".json"}) {
		t.Errorf("the outbox has the files %q, want %s.json", got, id)
	}
	if want := "order " + id + " is in the outbox\n"; strings.Count(logged.String(), want) != 1 {
		t.Errorf("the log is %.300q, want one line with %q", logged, want)
	}
	for _, answers := range []url.Values{testWho, testWhere, testWhat()} {
		for name := range answers {
			if !strings.Contains(orders[id+".json"], answers.Get(name)) {
				t.Errorf("want the field %s in the file, which is %.600s", name, orders[id+".json"])
			}
		}
	}
}

func TestReceiptShowsEveryAnswer(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	mustShowAnswers(t, mustSend(t, browser, mustFillIn(t, browser)), testWho, testWhere, testWhat())
}

func TestSentFormIsClosed(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	mustSend(t, browser, form)
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
	if after := site.orders(t); !maps.Equal(after, before) {
		t.Errorf("the outbox has %q, want %q, as before", after, before)
	}
}

func TestFirstPageListsReceipts(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	mustSend(t, browser, form)
	page := browser.Get("/")
	if got, want := testReceipts(page), []string{form + "/receipt"}; !slices.Equal(got, want) {
		t.Errorf("want a link to %s, and the page has the receipts %q", want, got)
	}
	if got := testOpen(page); len(got) > 0 {
		t.Errorf("got the open forms %q, want none", got)
	}
}

// In another tab, the visitor changes an answer after the review was shown.
func TestReviewSendsOnlyWhatItShowed(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	review := browser.Get(form + "/review")
	browser.Post(form+"/where", testParis())

	mustRedirect(t, browser.Send(testPost(form+"/review", testHidden(review))), form+"/review?changed")
	page := browser.Get(form + "/review?changed")
	page.MustShow("Nothing was sent yet.")
	page.MustShow("Paris")
	mustRedirect(t, browser.Send(testPost(form+"/review", nil)), form+"/review?changed")
	browser.Get(form + "/review").MustNotShow("Nothing was sent yet.")
	mustHaveOrders(t, site, 0)
	mustBeAt(t, browser.Post(form+"/review", testHidden(page)), "/receipt")
}

// The day of delivery was right when the visitor typed it. A day later it is wrong.
func TestAllStepsAreCheckedAgainAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newTestSite(t)
		browser := site.visitor(t)
		form := mustFillIn(t, browser)
		soon := testWhat()
		soon.Set("day", testDay(1))
		review := browser.Post(form+"/what", soon)
		mustBeAt(t, review, "/review")

		time.Sleep(24 * time.Hour)
		page := browser.Post(form+"/review", testHidden(review))
		mustBeAt(t, page, "/what")
		mustHaveValue(t, page, "day", "2000-01-02")
		if got := testInvalid(page); !slices.Equal(got, []string{"day"}) {
			t.Errorf("want aria-invalid at day, got it at %q", got)
		}
		if got, want := testProblem(page, "day"), "from 2000-01-03 to 2000-02-01"; !strings.Contains(got, want) {
			t.Errorf("want %q beside the field, got %q", want, got)
		}
		mustHaveOrders(t, site, 0)
	})
}

// The pages, and the way back.

func TestProgressIsShown(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	for i, name := range []string{"Who", "Where", "What", "Review"} {
		page := browser.Get(form + "/" + strings.ToLower(name))
		page.MustShow(fmt.Sprintf("Step %d of 4", i+1))
		var current []string
		for _, tag := range testTags(page) {
			if tag.attributes["aria-current"] == "step" {
				current = append(current, tag.text())
			}
		}
		if len(current) != 1 || !strings.Contains(current[0], name) {
			t.Errorf(`%s: want one element with aria-current="step" and the text %s, got %q`, page.Path, name, current)
		}
	}
}

func TestLinksLeadOnlyToStepsInReach(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	links := testLinks(browser.Post(form+"/who", testWho)) // now at /where
	if !slices.Contains(links, form+"/who") {
		t.Errorf("want a link to the step before, %s/who, got the links %q", form, links)
	}
	for _, step := range []string{"/what", "/review"} {
		if slices.Contains(links, form+step) {
			t.Errorf("want no link to %s, which is out of reach, got the links %q", step, links)
		}
	}

	browser.Post(form+"/where", testWhere)
	browser.Post(form+"/what", testWhat())
	links = testLinks(mustSend(t, browser, form))
	for _, step := range []string{"/who", "/where", "/what", "/review"} {
		if slices.Contains(links, form+step) {
			t.Errorf("the receipt has a link to %s, want none, because the form is closed", step)
		}
	}
}

func TestEveryPostIsAnsweredBySeeOther(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	wrong := url.Values{"name": {"Ada"}, "email": {"ada"}}
	for _, test := range []struct {
		path, leadsTo string
		sent          url.Values
	}{
		{"/who", "/where", testWho}, {"/who", "/who", wrong}, {"/where", "/who", testWhere}, {"/who", "/where", testWho},
		{"/review", "/review?changed", nil}, {"/review", "/receipt", testHidden(browser.Get(form + "/review"))},
		{"/review", "/receipt", nil}, {"/who", "/receipt", nil}, {"/discard", "/receipt", nil},
	} {
		response := browser.Send(testPost(form+test.path, test.sent))
		mustRedirect(t, response, "")
		page := browser.Get(response.Header.Get("Location")) // which may be another redirect
		if page.Path != form+test.leadsTo {
			t.Errorf("POST %s leads to %s, want %s", form+test.path, page.Path, form+test.leadsTo)
		}
	}
	mustRedirect(t, browser.Send(testPost(mustBegin(t, browser)+"/discard", nil)), "/")
}

// If a page answered the POST, a browser would ask a visitor who comes back to it whether
// to send the form again.
func TestPostToAFormThatIsGoneLeadsToThePageThatSaysSo(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	browser.Post(form+"/discard", nil) // in another tab
	for path, sent := range map[string]url.Values{"/who": testWho, "/review": nil, "/discard": nil} {
		to := mustRedirect(t, browser.Send(testPost(form+path, sent)), "")
		browser.Get(to).MustBe(http.StatusNotFound, "There is no such form.")
	}
	to := browser.Send(testPost("/forms/%2F%2Fevil.test/discard", nil)).Header.Get("Location")
	if !strings.HasPrefix(to, "/forms/") {
		t.Errorf("got Location: %s, want one that begins with /forms/", to)
	}
}

func TestBackForwardAndReloadChangeNothing(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	for _, step := range []string{"what", "where", "who", "where", "where", "what", "review", "review"} {
		page := browser.Get(form + "/" + step)
		mustBeAt(t, page, "/"+step)
		if line := page.Header.Get("Set-Cookie"); line != "" {
			t.Errorf("GET %s: got Set-Cookie: %s, want none", step, line)
		}
	}
	mustHaveValues(t, browser.Get(form+"/who"), testWho)
	mustHaveValues(t, browser.Get(form+"/where"), testWhere)
	mustHaveValues(t, browser.Get(form+"/what"), testWhat())
	mustHaveOrders(t, site, 0)
}

// If no cache has the page, Back asks the server for it again.
func TestNoCacheStoresThePages(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	pages := []webtest.Page{browser.Get("/"), browser.Get(form + "/who"), browser.Get(form + "/review")}
	for _, page := range append(pages, mustSend(t, browser, form)) {
		if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
			t.Errorf("%s: got Cache-Control: %q, want %q", page.Path, got, want)
		}
	}
}

// The gardener has planted the tree, and has removed the file.
func TestReceiptWithoutItsFileIsA410(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	mustSend(t, browser, form)
	for name := range site.orders(t) {
		os.Remove(filepath.Join(site.outbox, name))
	}
	browser.Get(form+"/receipt").MustBe(http.StatusGone, "This order was sent")
}

func TestOutboxThatFailsIsA503AndTheAnswersStay(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	site.root.Close()
	browser.Post(form+"/review", button).MustBe(http.StatusServiceUnavailable, "Your answers are still here.")

	browser.Handler = site.process(t) // the program was started again
	mustBeAt(t, browser.Post(form+"/review", button), "/receipt")
	mustHaveOrders(t, site, 1)
}

// Coming back.

func TestFormOutlivesTheBrowser(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	browser.Post(form+"/who", testWho)
	browser.Restart()
	if got := testOpen(browser.Get("/")); !slices.Equal(got, []string{form}) {
		t.Errorf("got the open forms %q, want %s", got, form)
	}
	mustBeAt(t, browser.Get(form), "/where")
	mustHaveValue(t, browser.Get(form+"/who"), "name", "Ada Lovelace")
}

func TestFormAndReceiptOutliveTheProgram(t *testing.T) {
	dir := t.TempDir()
	browser := webtest.NewBrowser(t, testSiteIn(t, dir).process(t))
	open, sent := mustBegin(t, browser), mustFillIn(t, browser)
	browser.Post(open+"/who", testWho)
	mustSend(t, browser, sent)
	browser.Handler = testSiteIn(t, dir).process(t)
	mustBeAt(t, browser.Get(open), "/where")
	browser.Get(sent + "/receipt").MustShow("Ada Lovelace")
}

// A request moves the deadline of a session only when a tenth of its Lifetime has passed.
func TestFormWaitsForAWeekAfterTheLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := newTestSite(t).visitor(t)
		form := mustBegin(t, browser)
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

// Several forms.

func TestTwoFormsInTwoTabsDoNotMix(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	one, two := mustBegin(t, browser), mustBegin(t, browser)
	grace := url.Values{"name": {"Grace Hopper"}, "email": {"grace@example.com"}}
	browser.Post(one+"/who", testWho)
	browser.Post(two+"/who", grace)
	mustHaveValues(t, browser.Get(one+"/who"), testWho)
	mustHaveValues(t, browser.Get(two+"/who"), grace)
	browser.Post(one+"/where", testWhere)
	browser.Post(one+"/what", testWhat())
	mustSend(t, browser, one)
	mustBeAt(t, browser.Get(two), "/where")
	mustHaveValues(t, browser.Get(two+"/who"), grace)
}

func TestSixthFormIsRefusedAndNothingIsLost(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	var all []string
	for range 5 {
		all = append(all, mustBegin(t, browser))
	}
	page := browser.Post("/", nil)
	page.MustBeAt("/")
	page.MustShow("Five forms are open. That is the maximum.")
	if got := testOpen(page); !slices.Equal(got, slices.Sorted(slices.Values(all))) {
		t.Errorf("got the open forms %q, want %q", got, all)
	}
	for _, form := range all {
		mustBeAt(t, browser.Get(form), "/who")
	}
	browser.Post(all[2]+"/discard", nil).MustNotShow("Five forms are open.")
	mustBegin(t, browser)
}

func TestSentFormMakesRoom(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	for range 4 {
		mustBegin(t, browser)
	}
	mustSend(t, browser, form)
	mustBegin(t, browser)
}

// A client-side session would be too small for this, because a cookie has at most 4096
// bytes.
func TestFiveLongestFormsAreStored(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	long := testWhat()
	long.Set("note", strings.Repeat("🌳", 1000))
	var all []string
	for range 5 {
		form := mustFillIn(t, browser)
		mustBeAt(t, browser.Post(form+"/what", long), "/review")
		all = append(all, form)
	}
	for _, form := range all {
		browser.Get(form + "/review").MustShow(strings.Repeat("🌳", 1000))
	}
}

func TestTenReceiptsAreRemembered(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	var all []string
	for range 11 {
		form := mustFillIn(t, browser)
		mustSend(t, browser, form)
		all = append(all, form)
	}
	if n := len(testReceipts(browser.Get("/"))); n != 10 {
		t.Errorf("got %d receipts on the first page, want 10", n)
	}
	mustBeAt(t, browser.Get(all[1]+"/receipt"), "/receipt")
	for _, page := range []webtest.Page{browser.Get(all[0] + "/receipt"), browser.Post(all[0]+"/review", nil)} {
		page.MustBe(http.StatusNotFound, "There is no such form.")
	}
	mustHaveOrders(t, site, 11)
}

func TestIfTwoTabsHaveOneFormTheLastAnswerOfAStepWins(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	browser.Post(form+"/where", testParis())
	browser.Post(form+"/who", testWho) // an answer to another step does not change the town
	page := mustSend(t, browser, form)
	page.MustShow("Paris")
	page.MustNotShow("London")
}

// Both requests load the session before one of them saves it.
func TestTwoTabsAtOnceLoseNothing(t *testing.T) {
	site := newTestSite(t)
	store := &storetest.Meeting{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	one, two := mustBegin(t, browser), mustBegin(t, browser)
	store.Next(2)
	testAtOnce(t, browser,
		[]http.Handler{site.process(t), site.process(t)},
		[]*http.Request{testPost(one+"/who", testWho), testPost(two+"/who", testWho)})
	mustBeAt(t, browser.Get(one), "/where")
	mustBeAt(t, browser.Get(two), "/where")
}

// Sending once.

func TestSendingTwiceSendsOnce(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	for range 3 {
		mustBeAt(t, browser.Post(form+"/review", button), form+"/receipt")
	}
	mustHaveOrders(t, site, 1)
}

// The outbox has the order, but the session was not saved. The order in the outbox stays
// as it is.
func TestPressAfterASessionThatWasNotSavedSendsNoSecond(t *testing.T) {
	site := newTestSite(t)
	store := &storetest.Faulty{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	store.OnSave = func(context.Context) error { return errors.New("disk full") }
	browser.Post(form+"/review", button).MustBe(http.StatusServiceUnavailable, "")
	store.OnSave = nil

	browser.Post(form+"/where", testParis())
	mustSend(t, browser, form).MustShow("London")
	mustHaveOrders(t, site, 1)
	for name, order := range site.orders(t) {
		if strings.Contains(order, "Paris") {
			t.Errorf("the file %s is %.300s, want the first order, for London", name, order)
		}
	}
}

// All requests load the session before the first of them saves it, so no request can see
// the change of another. The log has a line for each order that is sent.
func TestSixtyFourPressesAtOnceSendOnce(t *testing.T) {
	site := newTestSite(t)
	store := &storetest.Meeting{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	processes := []http.Handler{browser.Handler, site.process(t)}
	handlers, requests := make([]http.Handler, 64), make([]*http.Request, 64)
	for i := range requests {
		handlers[i], requests[i] = processes[i%2], testPost(form+"/review", button)
	}
	logged := testLog(t)
	store.Next(64)
	for _, response := range testAtOnce(t, browser, handlers, requests) {
		if got, want := response.Header.Get("Location"), form+"/receipt"; got != want {
			t.Errorf("a press leads to %s, want %s", got, want)
		}
	}
	mustHaveOrders(t, site, 1)
	if n := strings.Count(logged.String(), "is in the outbox"); n != 1 {
		t.Errorf("got %d orders in the log, want 1: %.300s", n, logged)
	}
	browser.Get(form + "/receipt").MustShow("Ada Lovelace")
}

func TestTwoProgramsWithOneDirectorySendOnce(t *testing.T) {
	dir := t.TempDir()
	browser := webtest.NewBrowser(t, testSiteIn(t, dir).process(t))
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	var handlers []http.Handler
	var requests []*http.Request
	for range 4 {
		handlers = append(handlers, testSiteIn(t, dir).process(t))
		requests = append(requests, testPost(form+"/review", button))
	}
	testAtOnce(t, browser, handlers, requests)
	mustHaveOrders(t, testSiteIn(t, dir), 1)
}

// One tab sends the form, and another tab discards it at the same time. Either of the two
// can be saved first.
func TestSendBesideADiscardKeepsTheReceipt(t *testing.T) {
	for _, paths := range [][2]string{{"/review", "/discard"}, {"/discard", "/review"}} {
		site := newTestSite(t)
		store := &storetest.Faulty{Store: site.store}
		site.store = store
		browser, other := site.visitor(t), site.process(t)
		form := mustFillIn(t, browser)
		button := testHidden(browser.Get(form + "/review"))
		store.OnSave = func(context.Context) error { // another request comes before the save
			store.OnSave = nil
			testAtOnce(t, browser, []http.Handler{other}, []*http.Request{testPost(form+paths[1], button)})
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
		site := newTestSite(t)
		store := &storetest.Faulty{Store: site.store}
		site.store = store
		browser, other := site.visitor(t), site.process(t)
		form := mustFillIn(t, browser)
		button := testHidden(browser.Get(form + "/review"))
		store.OnSave = func(context.Context) error { // another request comes before the save
			store.OnSave = nil
			testAtOnce(t, browser, []http.Handler{other}, []*http.Request{testPost(form+path, button)})
			return nil
		}
		page := browser.Post(form+"/who", url.Values{"name": {"Grace"}, "email": {"grace@example.com"}})
		page.MustNotShow("Grace")
		if stored := testStored(t, site, browser); strings.Contains(stored, "Grace") {
			t.Errorf("after %s the session has the answer: %.300s, want that it is not stored", path, stored)
		}
		switch path {
		case "/review":
			mustBeAt(t, page, "/receipt")
		case "/discard":
			page.MustBe(http.StatusNotFound, "There is no such form.")
		}
	}
}

// Other visitors, and requests that the site refuses.

func TestNoOneSeesTheFormOfAnotherVisitor(t *testing.T) {
	site := newTestSite(t)
	browser, stranger := site.visitor(t), site.visitor(t)
	open, sent := mustFillIn(t, browser), mustFillIn(t, browser)
	mustSend(t, browser, sent)
	mustBegin(t, stranger)
	for _, page := range []webtest.Page{
		stranger.Get(open), stranger.Get(open + "/who"), stranger.Post(open+"/who", testWho),
		stranger.Post(open+"/discard", nil), stranger.Get(sent + "/receipt"), stranger.Post(sent+"/review", nil),
	} {
		page.MustBe(http.StatusNotFound, "There is no such form.")
	}
	mustBeAt(t, browser.Get(open), "/review")
}

// An attacker begins a form, and plants the cookie in the visitor's browser (session
// fixation). Then the visitor begins a form there.
func TestPlantedCookieShowsTheAttackerNothing(t *testing.T) {
	site := newTestSite(t)
	attacker, browser := site.visitor(t), site.visitor(t)
	mustBegin(t, attacker)
	planted := attacker.Cookie("/", "form")
	browser.SetCookie("form", planted)
	form := mustBegin(t, browser)
	browser.Post(form+"/who", testWho)
	mustBeAt(t, browser.Get(form), "/where")
	for _, path := range []string{"/", form, form + "/who"} {
		attacker.SetCookie("form", planted)
		page := attacker.Get(path)
		page.MustNotShow("Ada")
		page.MustNotShow("ada@example.com")
		if path != "/" {
			page.MustBe(http.StatusNotFound, "There is no such form.")
		}
	}
}

// Four forms are open, and eight requests begin another one. All of them load the session
// before the first of them saves it.
func TestFormsBegunAtOnceAreFiveAtMost(t *testing.T) {
	site := newTestSite(t)
	store := &storetest.Meeting{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	var before []string
	for range 4 {
		before = append(before, mustBegin(t, browser))
	}
	store.Next(8)
	handlers, requests := make([]http.Handler, 8), make([]*http.Request, 8)
	for i := range requests {
		handlers[i], requests[i] = browser.Handler, testPost("/", nil)
	}
	for _, response := range testAtOnce(t, browser, handlers, requests) {
		for _, cookie := range response.Cookies() { // a new ID: the browser has the cookie that comes last
			browser.SetCookie(cookie.Name, cookie.Value)
		}
	}
	open := testOpen(browser.Get("/"))
	if len(open) != 5 {
		t.Errorf("got %d open forms, want 5", len(open))
	}
	for _, form := range before {
		if !slices.Contains(open, form) {
			t.Errorf("the form %s is lost, want that the four forms stay", form)
		}
	}
}

func TestUnknownPagesAreNotFound(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustBegin(t, browser)
	for _, path := range []string{
		"/forms", "/forms/", "/forms//who", "/forms/x/who", "/forms/x/receipt", "/forms/%2e%2e%2fx/receipt", "/forms/%3Cscript%3E",
		form + "/why", form + "/", form + "/who/", "/forms/" + strings.Repeat("A", 100_000),
	} {
		page := browser.Get(path)
		if page.Status != http.StatusNotFound {
			t.Errorf("%.60s: got status %d, want 404", path, page.Status)
		}
		page.MustNotShow("<script")
	}
}

func TestChangesTakeAPostFromThisSite(t *testing.T) {
	site := newTestSite(t)
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	button := testHidden(browser.Get(form + "/review"))
	browser.Get(form+"/discard").MustBe(http.StatusMethodNotAllowed, "")
	for path, sent := range map[string]url.Values{"/": nil, form + "/who": {}, form + "/review": button, form + "/discard": nil} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"} {
			t.Run(path+" with "+name, func(t *testing.T) {
				r := testPost(path, sent)
				r.Header.Set(name, value)
				browser.Send(r).MustBe(http.StatusForbidden, "")
			})
		}
	}
	mustBeAt(t, browser.Get(form), "/review")
	mustHaveOrders(t, site, 0)
}

func TestTypedHTMLStaysText(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	const script = `</textarea>"><script>`
	for _, page := range []webtest.Page{
		browser.Post(form+"/who", url.Values{"name": {script}, "email": {script}}), browser.Get("/"),
		browser.Post(form+"/who", url.Values{"name": {script}, "email": {"ada@example.com"}}),
		browser.Post(form+"/what", url.Values{"tree": {script}, "count": {script}, "day": {script}, "note": {script}}), browser.Get("/"),
		browser.Post(form+"/what", url.Values{"tree": {"Pear"}, "count": {"1"}, "day": {testDay(2)}, "note": {script}}),
		mustSend(t, browser, form),
	} {
		if page.Status != http.StatusOK {
			t.Errorf("%s: got status %d, want 200", page.Path, page.Status)
		}
		page.MustNotShow("<script")
	}
}

func TestFormThatIsTooLargeOrDamagedIsRefused(t *testing.T) {
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	large := url.Values{"name": {strings.Repeat("x", 16384)}, "email": {"ada@example.com"}}
	for _, path := range []string{"/who", "/review"} {
		browser.Post(form+path, large).MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 16384 bytes.")
		r := httptest.NewRequest("POST", webtest.Origin+form+path, strings.NewReader("name=%zz"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		browser.Send(r).MustBe(http.StatusBadRequest, "The form is damaged.")
	}
	mustBeAt(t, browser.Get(form), "/review")
}

func TestStoreThatIsDownIsA503(t *testing.T) {
	site := newTestSite(t)
	store := &storetest.Faulty{Store: site.store}
	site.store = store
	browser := site.visitor(t)
	form := mustFillIn(t, browser)
	store.OnSave = func(context.Context) error { return errors.New("disk full") }
	for _, page := range []webtest.Page{browser.Post("/", nil), browser.Post(form+"/who", testWho), browser.Post(form+"/discard", nil)} {
		page.MustBe(http.StatusServiceUnavailable, "")
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
		site := newTestSite(t)
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
		mustSend(t, browser, mustFillIn(t, browser))
	}
}

// testSite is a store and an outbox. The processes of a site share only these two.
type testSite struct {
	store  session.Store
	outbox string
	root   *os.Root // the outbox as the last process opened it
}

func newTestSite(t *testing.T) *testSite {
	t.Helper()
	return &testSite{store: memstore.New(), outbox: t.TempDir()}
}

// testSiteIn returns a site whose store and outbox are in dir, as one process opens it.
func testSiteIn(t *testing.T, dir string) *testSite {
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
	return &testSite{store: store, outbox: outbox}
}

var testSecret = bytes.Repeat([]byte("s"), 32)

// manager returns the session manager of one process. Its StoreTimeout is long, so that
// on a slow machine the store does not seem to be down.
func (s *testSite) manager(t *testing.T) *session.Manager {
	t.Helper()
	opts := options(s.store)
	opts.StoreTimeout = 30 * time.Second
	sessions, err := session.New(testSecret, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// process returns the handler of another process of the site.
func (s *testSite) process(t *testing.T) http.Handler {
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
func (s *testSite) visitor(t *testing.T) *webtest.Browser {
	t.Helper()
	return webtest.NewBrowser(t, s.process(t))
}

// orders returns the content of the files in the outbox, by name.
func (s *testSite) orders(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.outbox, "*"))
	if err != nil {
		t.Fatal(err)
	}
	orders := make(map[string]string)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		orders[filepath.Base(file)] = string(content)
	}
	return orders
}

var (
	testWho   = url.Values{"name": {"Ada Lovelace"}, "email": {"ada@example.com"}}
	testWhere = url.Values{"street": {"12 Square"}, "postcode": {"SW1Y 4JH"}, "town": {"London"}}
)

func testWhat() url.Values {
	return url.Values{"tree": {"Cherry"}, "count": {"2"}, "day": {testDay(7)}, "note": {"Mind the dog."}}
}

// testParis returns testWhere with another town.
func testParis() url.Values {
	paris := maps.Clone(testWhere)
	paris.Set("town", "Paris")
	return paris
}

// testStored returns the visitor's forms as the session has them.
func testStored(t *testing.T, site *testSite, browser *webtest.Browser) string {
	t.Helper()
	var stored any
	reader := webtest.NewBrowser(t, site.manager(t).Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { stored = session.Key[any]("forms").Get(session.From(r)) })))
	reader.SetCookie("form", browser.Cookie("/", "form"))
	reader.Get("/")
	return fmt.Sprint(stored)
}

// testDay returns a date in the format of the form.
func testDay(fromToday int) string {
	return time.Now().UTC().AddDate(0, 0, fromToday).Format(time.DateOnly)
}

// testLog collects what package log writes until the test ends.
func testLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var logged bytes.Buffer
	log.SetOutput(&logged) // package log writes one line at a time
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	return &logged
}

func testPost(path string, form url.Values) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// mustBegin begins a form and returns its address, /forms/{id}.
func mustBegin(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	response := browser.Send(testPost("/", nil))
	path := response.Header.Get("Location")
	form, ok := strings.CutSuffix(path, "/who")
	if response.Status != http.StatusSeeOther || !ok || !strings.HasPrefix(form, "/forms/") {
		t.Fatalf("POST / must begin a form: got status %d and Location: %s, want 303 and /forms/{id}/who", response.Status, path)
	}
	return form
}

// mustFillIn begins a form, fills in three steps, and returns its address.
func mustFillIn(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	form := mustBegin(t, browser)
	browser.Send(testPost(form+"/who", testWho))
	browser.Send(testPost(form+"/where", testWhere))
	response := browser.Send(testPost(form+"/what", testWhat()))
	if got, want := response.Header.Get("Location"), form+"/review"; got != want {
		t.Fatalf("three steps were filled in: got status %d and Location: %s, want 303 and %s", response.Status, got, want)
	}
	return form
}

// mustSend opens the review and presses its button. It returns the receipt.
func mustSend(t *testing.T, browser *webtest.Browser, form string) webtest.Page {
	t.Helper()
	page := browser.Post(form+"/review", testHidden(browser.Get(form+"/review")))
	if page.Status != http.StatusOK || page.Path != form+"/receipt" {
		t.Fatalf("the button of the review: got status %d at %s, want 200 at %s/receipt", page.Status, page.Path, form)
	}
	return page
}

// mustRedirect wants status 303, and a Location that ends with want. It returns the
// Location.
func mustRedirect(t *testing.T, page webtest.Page, want string) string {
	t.Helper()
	got := page.Header.Get("Location")
	if page.Status != http.StatusSeeOther || !strings.HasSuffix(got, want) {
		t.Fatalf("%s: got status %d and Location: %s, want 303 and %s", page.Path, page.Status, got, want)
	}
	return got
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

// mustHaveOrders wants so many files in the outbox.
func mustHaveOrders(t *testing.T, site *testSite, want int) {
	t.Helper()
	if got := slices.Collect(maps.Keys(site.orders(t))); len(got) != want {
		t.Fatalf("got %d files in the outbox, want %d: %.300q", len(got), want, got)
	}
}

// mustRefuse posts a step with one wrong answer. It wants the step again, with what was
// typed, and with a problem beside this field alone. The problem must contain says.
func mustRefuse(t *testing.T, step, field, typed, says string) {
	t.Helper()
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	before := testProblem(browser.Get(form+"/"+step), field)
	answers := testAnswers(step)
	answers.Set(field, typed)
	response := browser.Send(testPost(form+"/"+step, answers))
	if got, want := response.Header.Get("Location"), form+"/"+step; got != want {
		t.Fatalf("%s=%.20q: got status %d and Location: %s, want that the answer is wrong: 303 and %s", field, typed, response.Status, got, want)
	}
	page := browser.Get(form + "/" + step)
	if got := testInvalid(page); !slices.Equal(got, []string{field}) {
		t.Fatalf(`%s=%.20q: want aria-invalid="true" at the field %[1]s alone, got status %[3]d and it at %[4]q`, field, typed, page.Status, got)
	}
	if got := testProblem(page, field); got == before || !strings.Contains(got, says) {
		t.Fatalf("%s=%.20q: want a problem with %q in the element that aria-describedby of the field %[1]s names, got %[4]q", field, typed, says, got)
	}
	mustBeAt(t, browser.Get(form), "/"+step)
}

// mustAccept posts a step with this answer, and wants that nothing is wrong.
func mustAccept(t *testing.T, step, field, typed string) {
	t.Helper()
	browser := newTestSite(t).visitor(t)
	form := mustFillIn(t, browser)
	answers := testAnswers(step)
	answers.Set(field, typed)
	browser.Send(testPost(form+"/"+step, answers))
	page := browser.Get(form + "/" + step)
	if got := testInvalid(page); len(got) > 0 {
		t.Fatalf("%s=%.20q: want that the answer is right, got aria-invalid at %q and the problem %q", field, typed, got, testProblem(page, field))
	}
	mustHaveValue(t, page, field, typed)
}

// testAnswers returns right answers to a step.
func testAnswers(step string) url.Values {
	return maps.Clone(map[string]url.Values{"who": testWho, "where": testWhere, "what": testWhat()}[step])
}

// mustShowAnswers wants each answer in the text of a page.
func mustShowAnswers(t *testing.T, page webtest.Page, steps ...url.Values) {
	t.Helper()
	for _, answers := range steps {
		for name := range answers {
			if want := answers.Get(name); page.Status != http.StatusOK || !strings.Contains(page.Text(), want) {
				t.Errorf("%s: want %s, the answer to %s, got status %d and the text %.600s", page.Path, want, name, page.Status, page.Text())
			}
		}
	}
}

// mustHaveValues wants fields with these values.
func mustHaveValues(t *testing.T, page webtest.Page, want url.Values) {
	t.Helper()
	for name := range want {
		mustHaveValue(t, page, name, want.Get(name))
	}
}

// mustHaveValue wants a field with this name and this value: what a browser would send.
func mustHaveValue(t *testing.T, page webtest.Page, name, want string) {
	t.Helper()
	for _, tag := range testTags(page) {
		if tag.attributes["name"] != name {
			continue
		}
		got := tag.attributes["value"]
		switch tag.name {
		case "input":
		case "textarea":
			text, _, _ := strings.Cut(tag.after, "</textarea>")
			got = html.UnescapeString(strings.TrimPrefix(text, "\n")) // browsers skip this line end
		case "select":
			got = ""
			options, _, _ := strings.Cut(tag.after, "</select>")
			for _, option := range testTags(webtest.Page{Body: options}) {
				if _, selected := option.attributes["selected"]; !selected {
					continue
				}
				text, _, _ := strings.Cut(option.after, "<")
				got = strings.TrimSpace(html.UnescapeString(text))
				if value, ok := option.attributes["value"]; ok {
					got = value
				}
			}
		default:
			continue
		}
		if got != want {
			t.Errorf("%s: the field %s has the value %.100q, want %.100q", page.Path, name, got, want)
		}
		return
	}
	t.Errorf("%s: want a field with the name %s, and the page has none. It says: %.300s", page.Path, name, page.Text())
}

// testInvalid returns the names of the fields with aria-invalid, sorted.
func testInvalid(page webtest.Page) []string {
	var names []string
	for _, tag := range testTags(page) {
		if tag.attributes["aria-invalid"] == "true" {
			names = append(names, tag.attributes["name"])
		}
	}
	slices.Sort(names)
	return names
}

// testProblem returns the text of the elements that describe a field.
func testProblem(page webtest.Page, name string) string {
	tags := testTags(page)
	var ids, texts []string
	for _, tag := range tags {
		if tag.attributes["name"] == name {
			ids = strings.Fields(tag.attributes["aria-describedby"])
		}
	}
	for _, tag := range tags {
		if slices.Contains(ids, tag.attributes["id"]) {
			texts = append(texts, tag.text())
		}
	}
	return strings.Join(texts, " ")
}

// testHidden returns what the button of a page sends: the hidden fields, and the button's
// own name and value.
func testHidden(page webtest.Page) url.Values {
	form := make(url.Values)
	for _, tag := range testTags(page) {
		hidden := tag.name == "input" && strings.EqualFold(tag.attributes["type"], "hidden")
		if name := tag.attributes["name"]; name != "" && (hidden || tag.name == "button") {
			form.Add(name, tag.attributes["value"])
		}
	}
	return form
}

// testLinks returns the paths to which the links of a page lead, without repeats.
func testLinks(page webtest.Page) []string { return testPaths(page, "a", "href") }

// testActions returns the paths to which the forms of a page post, without repeats.
func testActions(page webtest.Page) []string { return testPaths(page, "form", "action") }

// testOpen returns the forms that the first page lists as open.
func testOpen(page webtest.Page) []string {
	var open []string
	for _, path := range testActions(page) {
		if form, ok := strings.CutSuffix(path, "/discard"); ok {
			open = append(open, form)
		}
	}
	return open
}

// testReceipts returns the receipts to which the first page has links.
func testReceipts(page webtest.Page) []string {
	return slices.DeleteFunc(testLinks(page), func(path string) bool { return !strings.HasSuffix(path, "/receipt") })
}

// testPaths returns the paths in an attribute of the elements with this name, sorted and
// without repeats.
func testPaths(page webtest.Page, element, attribute string) []string {
	var paths []string
	base, err := url.Parse(page.Path)
	if err != nil {
		return nil
	}
	for _, tag := range testTags(page) {
		if tag.name != element {
			continue
		}
		if to, err := base.Parse(tag.attributes[attribute]); err == nil && to.Host == "" {
			paths = append(paths, to.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// testTag is an opening tag of a page.
type testTag struct {
	name       string // such as input
	attributes map[string]string
	after      string // the page after the tag
}

var (
	testTagPattern       = regexp.MustCompile(`<([a-zA-Z][a-zA-Z0-9]*)((?:"[^"]*"|'[^']*'|[^"'>])*)>`)
	testAttributePattern = regexp.MustCompile(`([^\s"'=<>/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?`)
)

// testTags returns the opening tags of a page.
func testTags(page webtest.Page) []testTag {
	var tags []testTag
	for _, at := range testTagPattern.FindAllStringSubmatchIndex(page.Body, -1) {
		tag := testTag{strings.ToLower(page.Body[at[2]:at[3]]), make(map[string]string), page.Body[at[1]:]}
		for _, found := range testAttributePattern.FindAllStringSubmatch(page.Body[at[4]:at[5]], -1) {
			tag.attributes[strings.ToLower(found[1])] = html.UnescapeString(found[2] + found[3] + found[4])
		}
		tags = append(tags, tag)
	}
	return tags
}

// text returns the text of the tag's element, up to the first end tag with its name.
func (tag testTag) text() string {
	inside, _, _ := strings.Cut(tag.after, "</"+tag.name)
	return webtest.Page{Body: inside}.Text()
}

// testAtOnce sends all requests at the same time, each with the browser's cookie and to its
// handler. It returns the responses, whose status must be 303.
func testAtOnce(t *testing.T, browser *webtest.Browser, handlers []http.Handler, requests []*http.Request) []*http.Response {
	t.Helper()
	responses := make([]*http.Response, len(requests))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() {
			r.AddCookie(&http.Cookie{Name: "form", Value: browser.Cookie("/", "form")})
			w := httptest.NewRecorder()
			handlers[i].ServeHTTP(w, r)
			if w.Code != http.StatusSeeOther {
				t.Errorf("POST %s: got status %d, want 303", r.URL.Path, w.Code)
			}
			responses[i] = w.Result()
		})
	}
	all.Wait()
	return responses
}
