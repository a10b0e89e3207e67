package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"example.com/sessions/internal/session"
)

const (
	maxQuantity = 10 // of one product in a cart
	maxOrders   = 20 // that a session remembers
)

// cart is what a session knows of the visitor's shopping. It is one value, so
// that one function can take the items out and put the order in.
type cart struct {
	Items  map[string]int `json:"items,omitempty"`  // how many of each product, by its ID
	Next   string         `json:"next,omitempty"`   // the ID of the order that these items would be
	Orders []order        `json:"orders,omitempty"` // those placed, the oldest first
}

type order struct {
	ID     string `json:"id"`
	Number int    `json:"number"`
	Total  cents  `json:"total"`
}

// cents is an amount of money.
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
	show(w, http.StatusOK, "products", shopping.Get(session.From(r)))
}

func addToCart(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !slices.ContainsFunc(products, func(p product) bool { return p.ID == id }) {
		problem(w, http.StatusNotFound, "There is no such product.")
		return
	}
	next := rand.Text() // drawn here: with the same cart, the function is to do the same again
	shopping.Update(session.From(r), func(c cart) cart { return c.add(id, next) })
	http.Redirect(w, r, "/products", http.StatusSeeOther)
}

// add returns the cart with one more of a product. Other items are another
// order, so it gets another ID.
func (c cart) add(id, next string) cart {
	n := quantity(c.Items[id])
	if n == maxQuantity {
		return c
	}
	if c.Items == nil {
		c.Items = make(map[string]int)
	}
	c.Items[id] = n + 1
	c.Next = next
	return c
}

// showCart tells what became of an order too: it reads what was saved.
func showCart(w http.ResponseWriter, r *http.Request) {
	c := shopping.Get(session.From(r))
	asked := r.URL.Query().Get("order")
	i := slices.IndexFunc(c.Orders, func(o order) bool { return o.ID == asked })
	data := struct {
		cart
		Placed  order
		Refused bool
	}{cart: c, Refused: asked != "" && i < 0}
	if i >= 0 {
		data.Placed = c.Orders[i]
	}
	show(w, http.StatusOK, "cart", data)
}

// checkout shows what would be ordered. Its form has the ID of that order.
func checkout(w http.ResponseWriter, r *http.Request) {
	c := shopping.Get(session.From(r))
	if c.Count() == 0 {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	show(w, http.StatusOK, "checkout", c)
}

// placeOrder does not say whether the order was placed. It cannot know: place may
// run again, on what another request saved meanwhile, when this function has long
// returned. The page that it leads to reads how it ended.
//
// A form without an ID orders what is in the cart now.
func placeOrder(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	id := cmp.Or(r.PostForm.Get("order"), shopping.Get(s).Next)
	shopping.Update(s, func(c cart) cart { return c.place(id) })
	http.Redirect(w, r, "/cart?order="+url.QueryEscape(id), http.StatusSeeOther)
}

// place returns the cart after the order of this ID, which is the cart as it was
// if it has been placed already, or if the cart is no longer what the visitor
// was shown. It decides on nothing but the cart that it is given. The store takes
// the outcome only if that cart is still the newest: so of many requests, in many
// processes, one places the order.
func (c cart) place(id string) cart {
	if c.Next != id || c.Count() == 0 {
		return c
	}
	number := 1
	if n := len(c.Orders); n > 0 {
		number = c.Orders[n-1].Number + 1
	}
	c.Orders = append(c.Orders, order{id, number, c.Total()})
	c.Orders = c.Orders[max(0, len(c.Orders)-maxOrders):]
	c.Items, c.Next = nil, ""
	return c
}

// line is a product with its number in the cart.
type line struct {
	product
	Quantity int
	Total    cents
}

// Full reports whether the cart takes no more of the product.
func (l line) Full() bool {
	return l.Quantity == maxQuantity
}

// Lines returns a line for each product that is sold. What an older release left
// in the cart and nobody sells any more has none.
func (c cart) Lines() []line {
	var lines []line
	for _, p := range products {
		n := quantity(c.Items[p.ID])
		lines = append(lines, line{p, n, p.Price * cents(n)})
	}
	return lines
}

// Count returns how many pieces are in the cart.
func (c cart) Count() int {
	n := 0
	for _, l := range c.Lines() {
		n += l.Quantity
	}
	return n
}

// Total returns what they cost.
func (c cart) Total() cents {
	var total cents
	for _, l := range c.Lines() {
		total += l.Total
	}
	return total
}

// quantity returns the nearest number that a cart may hold.
func quantity(stored int) int {
	return min(max(stored, 0), maxQuantity)
}
