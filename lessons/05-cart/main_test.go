package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestProductsHaveNamesAndPrices(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, want := range []string{"Laptop - $999.99", "Smartphone - $499.99", "Headphones - $99.99"} {
		browser.Get("/products").MustShow(want)
	}
	browser.Get("/").MustShow("<h1>Products</h1>")
}

func TestCartCountsMultipliesAndAddsUp(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, id := range []string{"1", "3", "1"} {
		add(t, browser, id)
	}
	page := browser.Get("/cart")
	page.MustShow("Laptop x 2 = $1999.98")
	page.MustShow("Headphones x 1 = $99.99")
	page.MustShow("Total: $2099.97")
	page.MustNotShow("Smartphone")
	page.MustNotShow("no longer sold")
}

func TestCookieHoldsIDsAndQuantitiesOnly(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, id := range []string{"3", "1", "1"} {
		add(t, browser, id)
	}
	parts, err := session.Inspect(browser.Cookie("/", "cart"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(parts.Payload), `{"cart":{"1":2,"3":1}}`; got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
}

func TestAmountsAreExact(t *testing.T) {
	for amount, want := range map[cents]string{0: "$0.00", 5: "$0.05", 99_99: "$99.99", 3 * 99_99: "$299.97", 1999_98: "$1999.98"} {
		t.Run(want, func(t *testing.T) {
			if got := amount.String(); got != want {
				t.Errorf("%d cents: got %s, want %s", amount, got, want)
			}
		})
	}
}

func TestUnknownProductIsNotFoundAndNothingIsStored(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, id := range []string{
		"0", "4", "-1", "+1", "01", "1.0", "1e0", "0x1", "%201", "1%00", "%D9%A1", "laptop",
		"99999999999999999999", strings.Repeat("9", 5000), "%3Cscript%3E",
	} {
		page := browser.Post("/add_to_cart/"+id, nil)
		page.MustBe(http.StatusNotFound, "There is no such product.")
		page.MustNotShow("<script")
	}
	if value := browser.Cookie("/", "cart"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
}

func TestCartHoldsTenOfAProductAndLosesNothing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for range 10 {
		add(t, browser, "1")
	}
	page := browser.Post("/add_to_cart/1", nil)
	page.MustBe(http.StatusBadRequest, "Laptop was not added: your cart has 10, which is the maximum.")
	add(t, browser, "2")
	page = browser.Get("/cart")
	page.MustShow("Laptop x 10 = $9999.90")
	page.MustShow("Smartphone x 1 = $499.99")
}

func TestEmptyCartSaysSo(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/cart")
	page.MustShow("<h1>Your cart is empty</h1>")
	page.MustNotShow("Thank you!")
}

func TestRemovingTakesAProductOut(t *testing.T) {
	browser := withCart(t, `{"1":2,"3":1}`)
	page := browser.Post("/remove_from_cart/1", nil)
	page.MustBeAt("/cart")
	page.MustNotShow("Laptop")
	page.MustShow("Headphones x 1 = $99.99")
	page.MustShow("Total: $99.99")
	browser.Post("/remove_from_cart/1", nil).MustShow("Total: $99.99") // as another tab may ask
}

func TestRemovingTheLastProductDeletesTheCookie(t *testing.T) {
	browser := withCart(t, `{"1":2}`)
	browser.Post("/remove_from_cart/1", nil).MustShow("Your cart is empty")
	if value := browser.Cookie("/", "cart"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
}

func TestRemovingFromNoCartSetsNoCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Post("/remove_from_cart/1", nil).MustShow("Your cart is empty")
	if value := browser.Cookie("/", "cart"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
}

// The cart page has a button for each product, and the path of its form must be right
// for every ID that an older release may have stored.
func TestProductsThatAreNoLongerSoldCanBeRemoved(t *testing.T) {
	for id, path := range map[string]string{
		"7": "7", "blue tea": "blue%20tea", "Tee für 2": "Tee%20f%c3%bcr%202", "<script>": "%3cscript%3e", "100%": "100%25",
	} {
		t.Run(id, func(t *testing.T) {
			stored, err := json.Marshal(map[string]int{"3": 1, id: 2})
			if err != nil {
				t.Fatal(err)
			}
			browser := withCart(t, string(stored))
			path = "/remove_from_cart/" + path
			browser.Get("/cart").MustShow(`action="` + path + `"`)
			page := browser.Post(path, nil)
			page.MustNotShow("no longer sold")
			page.MustShow("Total: $99.99")
		})
	}
}

func TestAddingAndRemovingTakeAPost(t *testing.T) {
	browser := withCart(t, `{"3":1}`)
	browser.Get("/add_to_cart/1").MustBe(http.StatusMethodNotAllowed, "")
	browser.Get("/remove_from_cart/3").MustBe(http.StatusMethodNotAllowed, "")
	browser.Get("/cart").MustShow("Total: $99.99")
}

func TestOtherSitesCannotChangeTheCartOrOrder(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	add(t, browser, "1")
	for _, path := range []string{"/add_to_cart/1", "/remove_from_cart/1", "/checkout"} {
		r := httptest.NewRequest("POST", webtest.Origin+path, nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		browser.Send(r).MustBe(http.StatusForbidden, "")
	}
	browser.Get("/cart").MustShow("Laptop x 1 = $999.99")
}

// A browser would send Origin and Sec-Fetch-Site with this request. Other programs, such
// as curl, send neither, and have no cookie of a visitor.
func TestPostFromAProgramThatIsNoBrowserIsAccepted(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Send(httptest.NewRequest("POST", webtest.Origin+"/add_to_cart/1", nil)).MustBe(http.StatusSeeOther, "")
	browser.Get("/cart").MustShow("Laptop x 1 = $999.99")
}

func TestWithdrawnProductIsShownAsGone(t *testing.T) {
	browser := withCart(t, `{"1":1,"7":3}`)
	for _, path := range []string{"/cart", "/checkout"} {
		page := browser.Get(path)
		page.MustShow("Product 7 is no longer sold, and not counted.")
		page.MustShow("Total: $999.99")
	}
}

func TestCartOfWithdrawnProductsIsNoOrder(t *testing.T) {
	browser := withCart(t, `{"7":3}`)
	for _, page := range []webtest.Page{browser.Get("/checkout"), browser.Post("/checkout", nil)} {
		page.MustShow("Your cart is empty")
		page.MustShow("Product 7 is no longer sold, and not counted.")
		page.MustNotShow("is placed")
	}
}

func TestOldCartsAreReadWithCare(t *testing.T) {
	for stored, want := range map[string]string{
		`{"1":-5,"3":1}`:         "Total: $99.99",
		`{"1":1000000000}`:       "Laptop x 10 = $9999.90",
		`{"1":0}`:                "Your cart is empty",
		`{"1":99999999999999e9}`: "Your cart is empty",
		`{"1":1.5}`:              "Your cart is empty",
		`{"1":{"quantity":1}}`:   "Your cart is empty",
		`["1","3"]`:              "Your cart is empty",
		`null`:                   "Your cart is empty",
		`{"<script>":1}`:         "Product &lt;script&gt; is no longer sold",
	} {
		t.Run(stored, func(t *testing.T) {
			browser := withCart(t, stored)
			browser.Get("/cart").MustShow(want)
			add(t, browser, "2")
			browser.Get("/cart").MustShow("Smartphone x 1 = $499.99")
		})
	}
}

func TestNegativeQuantityBecomesOneWhenAdded(t *testing.T) {
	browser := withCart(t, `{"1":-5}`)
	add(t, browser, "1")
	browser.Get("/cart").MustShow("Laptop x 1 = $999.99")
}

func TestOrderPageShowsWhatIsOrdered(t *testing.T) {
	browser := withCart(t, `{"1":2,"3":1}`)
	page := browser.Get("/checkout")
	page.MustShow("Laptop x 2 = $1999.98")
	page.MustShow("Total: $2099.97")
	page.MustShow("Place order")
	browser.Get("/cart").MustShow("Laptop x 2") // the order page has placed no order
}

func TestPlacingTheOrderEmptiesTheCart(t *testing.T) {
	browser := withCart(t, `{"1":2,"3":1}`)
	page := browser.Post("/checkout", nil)
	page.MustShow("<h1>Thank you!</h1>\n  <p role=\"status\">Order 1 is placed, its total is $2099.97.</p>\n  <h2>Your cart is empty</h2>")
	page.MustBeAt("/cart")
}

func TestThanksAreForTheLastCartOnly(t *testing.T) {
	browser := withCart(t, `{"3":1}`)
	browser.Post("/checkout", nil).MustShow("Thank you!")
	add(t, browser, "1")
	page := browser.Post("/remove_from_cart/1", nil)
	page.MustShow("<h1>Your cart is empty</h1>")
	page.MustNotShow("Thank you!")
}

func TestEmptyCartIsNoOrder(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, page := range []webtest.Page{browser.Get("/checkout"), browser.Post("/checkout", nil)} {
		page.MustShow("Your cart is empty")
		page.MustNotShow("is placed")
	}
	add(t, browser, "3")
	browser.Post("/checkout", nil).MustShow("Order 1 is placed")
	browser.Post("/checkout", nil).MustShow("Order 1 is placed") // and there is no order 2
}

// No client-side session can prevent this. The server does not remember which cookies
// it has seen, so the cookie from before the order is still valid.
func TestOlderCookiePlacesTheOrderAgain(t *testing.T) {
	browser := withCart(t, `{"1":2}`)
	older := browser.Cookie("/", "cart")
	browser.Post("/checkout", nil).MustShow("Order 1 is placed, its total is $1999.98.")
	browser.SetCookie("cart", older)
	browser.Post("/checkout", nil).MustShow("Order 2 is placed, its total is $1999.98.")
}

// Both tabs send the cookie with one laptop, because neither response has come when the
// other tab sends its request. The server has no other memory of the cart.
func TestTwoTabsRaceAndOneProductIsLost(t *testing.T) {
	browser := withCart(t, `{"1":1}`)
	both := browser.Cookie("/", "cart")
	add(t, browser, "3") // tab A; its response arrives first

	browser.SetCookie("cart", both)
	add(t, browser, "2") // tab B; its response arrives last

	page := browser.Get("/cart")
	page.MustShow("Laptop x 1 = $999.99")
	page.MustShow("Smartphone x 1 = $499.99")
	page.MustNotShow("Headphones")
}

var secret = bytes.Repeat([]byte("s"), 32)

func manager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "cart"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// site returns the lesson's handler.
func site(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(manager(t))
}

// withCart returns a browser whose session has this JSON as its cart. The cookie has the
// shop's signature, as an older release could have sent it.
func withCart(t *testing.T, stored string) *webtest.Browser {
	t.Helper()
	sessions := manager(t)
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	s, err := sessions.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	session.Key[json.RawMessage]("cart").Set(s, json.RawMessage(stored))
	if err := sessions.Save(w, r, s); err != nil {
		t.Fatal(err)
	}
	browser := webtest.NewBrowser(t, newHandler(sessions))
	browser.SetCookie("cart", w.Result().Cookies()[0].Value)
	return browser
}

// add adds one of a product to the browser's cart.
func add(t *testing.T, browser *webtest.Browser, id string) {
	t.Helper()
	browser.Post("/add_to_cart/"+id, nil).MustShow("<h1>Products</h1>")
}
