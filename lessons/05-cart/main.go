// Command 05-cart stores a shopping cart in the session. The cart is one value that
// contains other values.
//
//	go run ./lessons/05-cart
//
// Open http://localhost:8080, fill the cart, copy the cookie and place the order. Then put
// the copy back, and order the same cart again.
package main

import (
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"example.com/sessions/internal/session"
)

// cart has the quantity of each product, by the product's ID. It has no names and no
// prices, because those belong to the shop. Each page looks them up in the catalogue.
const cart = session.Key[map[string]int]("cart")

// lastOrder is the order for which the cart page says thank you, until the visitor begins
// the next cart.
const lastOrder = session.Key[order]("last_order")

type order struct {
	Number int64 `json:"number"`
	Total  cents `json:"total"`
}

const cookieName = "cart"

// maxQuantity is the maximum quantity of one product in a cart.
const maxQuantity = 10

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: cookieName})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", *addr)
	server := &http.Server{
		Handler:           newHandler(sessions),
		ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.Serve(listener))
}

// newHandler returns the lesson's site.
//
// Only a POST changes the cart, because crawlers and image tags send GET requests.
// CrossOriginProtection answers a POST from a page of another origin with 403. It can
// do that because browsers send the page's origin with each POST.
func newHandler(sessions *session.Manager) http.Handler {
	var placed orders
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/products", http.StatusSeeOther))
	mux.HandleFunc("GET /products", listProducts)
	mux.HandleFunc("POST /add_to_cart/{id}", addToCart)
	mux.HandleFunc("GET /cart", showCart)
	mux.HandleFunc("POST /remove_from_cart/{id}", removeFromCart)
	mux.HandleFunc("GET /checkout", checkout)
	mux.HandleFunc("POST /checkout", placed.place)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// cents is an amount of money. It is a whole number, because with float64 three times
// 99.99 is 299.96999999999997.
type cents int64

func (c cents) String() string {
	return fmt.Sprintf("$%d.%02d", c/100, c%100)
}

type product struct {
	ID, Name string
	Price    cents
}

// products is the shop's catalogue. A real shop has it in a database.
var products = []product{
	{"1", "Laptop", 999_99},
	{"2", "Smartphone", 499_99},
	{"3", "Headphones", 99_99},
}

func listProducts(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "products", newPage(r, ""))
}

// addToCart adds one of a product to the cart.
//
// It compares the ID as text. If it parsed the ID as a number, "+1" and "01" would be
// product 1 too.
func addToCart(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(products, func(p product) bool { return p.ID == r.PathValue("id") })
	if i < 0 {
		show(w, r, http.StatusNotFound, "products", newPage(r, "There is no such product."))
		return
	}
	p, s := products[i], session.From(r)
	items := cart.Get(s)
	n := quantity(items[p.ID])
	if n == maxQuantity {
		notice := fmt.Sprintf("%s was not added: your cart has %d, which is the maximum.", p.Name, n)
		show(w, r, http.StatusBadRequest, "products", newPage(r, notice))
		return
	}
	if items == nil {
		items = make(map[string]int)
	}
	items[p.ID] = n + 1
	cart.Set(s, items) // items is a copy, so without Set the change is lost
	lastOrder.Delete(s)
	http.Redirect(w, r, "/products", http.StatusSeeOther)
}

func showCart(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "cart", newPage(r, ""))
}

// removeFromCart takes a product out of the cart. If the product is not in the cart,
// because another tab has removed it already, nothing changes.
//
// It does not look the ID up in the catalogue, so that a visitor can also remove a
// product that is no longer sold.
func removeFromCart(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	items := cart.Get(s)
	delete(items, r.PathValue("id"))
	if len(items) == 0 {
		cart.Delete(s) // an empty map would be a value too, and the cookie would stay
	} else {
		cart.Set(s, items)
	}
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}

// checkout shows the order that "Place order" would place.
func checkout(w http.ResponseWriter, r *http.Request) {
	if readCart(session.From(r)).Count == 0 {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	show(w, r, http.StatusOK, "checkout", newPage(r, ""))
}

// orders stands for the database where a shop stores its orders. It only counts them.
type orders struct{ last atomic.Int64 }

// place orders the items in the cart, and empties the cart. If the cart is empty, it
// orders nothing.
func (o *orders) place(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	if c := readCart(s); c.Count > 0 {
		cart.Delete(s)
		lastOrder.Set(s, order{o.last.Add(1), c.Total})
	}
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}

// contents is a cart as pages show it.
type contents struct {
	Lines []line // one for each product of the catalogue
	Count int    // the sum of all quantities
	Total cents
	Gone  []string // IDs in the cart that are no longer in the catalogue
}

type line struct {
	product
	Quantity int
	Total    cents
}

// readCart returns the contents of the cart, checked against the catalogue of today.
//
// The cookie's signature proves that this shop wrote the cart. An older release may have
// written it weeks ago.
func readCart(s *session.Session) contents {
	var c contents
	items := cart.Get(s)
	for _, p := range products {
		n := quantity(items[p.ID])
		l := line{p, n, p.Price * cents(n)}
		c.Lines = append(c.Lines, l)
		c.Count += l.Quantity
		c.Total += l.Total
		delete(items, p.ID) // items is a copy; the IDs that are left are not in the catalogue
	}
	c.Gone = slices.Sorted(maps.Keys(items))
	return c
}

// quantity returns the nearest quantity that is allowed in a cart. A negative quantity
// would make the rest of the order cheaper.
func quantity(stored int) int {
	return min(max(stored, 0), maxQuantity)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// page is the data of the templates.
type page struct {
	contents
	LastOrder order
	Notice    string
}

// newPage returns the data of a page that shows this session.
func newPage(r *http.Request, notice string) page {
	s := session.From(r)
	return page{readCart(s), lastOrder.Get(s), notice}
}

// show writes a page. The last part of it is in cookie.go.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	err := pages.ExecuteTemplate(w, name, data)
	if err == nil {
		err = showCookies(w, r)
	}
	if err != nil {
		log.Print(err)
	}
}
