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
	maxOrders   = 20 // in a session; the oldest is removed
)

// cart has all that a session knows of the visitor's shopping. It is one value, so that
// one Update can remove the items and add the order.
type cart struct {
	Items  map[string]int `json:"items,omitempty"`  // how many of each product, by its ID
	Next   string         `json:"next,omitempty"`   // the ID that the order of these items will have
	Orders []order        `json:"orders,omitempty"` // orders that were placed, the oldest first
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
	show(w, r, http.StatusOK, "products", shopping.Get(session.From(r)))
}

func addToCart(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !slices.ContainsFunc(products, func(p product) bool { return p.ID == id }) {
		problem(w, r, http.StatusNotFound, "There is no such product.")
		return
	}
	// The ID is drawn here, because the manager may call the function again. With the same
	// cart, it must do the same again.
	next := rand.Text()
	shopping.Update(session.From(r), func(c cart) cart { return c.add(id, next) })
	http.Redirect(w, r, "/products", http.StatusSeeOther)
}

// add returns the cart with one more of a product. The new items are another order, so
// the cart gets next as the ID of that order.
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

// showCart shows the cart. With ?order it also says whether that order was placed. It
// can tell, because it reads the session that was saved.
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
	show(w, r, http.StatusOK, "cart", data)
}

// checkout shows the order that "Place order" would place. Its form has the ID of that
// order.
func checkout(w http.ResponseWriter, r *http.Request) {
	c := shopping.Get(session.From(r))
	if c.Count() == 0 {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	show(w, r, http.StatusOK, "checkout", c)
}

// placeOrder places the order whose ID the form has. If the form has no ID, it orders
// the items that are in the cart now.
//
// placeOrder cannot know whether the order was placed. If another request saves the
// session first, the manager calls place again on the newer cart, after placeOrder has
// returned. Therefore it redirects to a page that reads the saved session.
func placeOrder(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	id := cmp.Or(r.PostForm.Get("order"), shopping.Get(s).Next)
	shopping.Update(s, func(c cart) cart { return c.place(id) })
	http.Redirect(w, r, "/cart?order="+url.QueryEscape(id), http.StatusSeeOther)
}

// place returns the cart after the order with this ID. It returns the cart unchanged if
// the order was placed already, or if the cart is no longer the one that the visitor was
// shown.
//
// place is a pure function: its result depends only on the cart and the ID. The store
// saves the result only if that cart is still the newest. Therefore only one of many
// requests places the order, even if they run at the same time in several processes.
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

// line is a product with its quantity in the cart.
type line struct {
	product
	Quantity int
	Total    cents
}

// Full reports whether the cart has the maximum quantity of the product.
func (l line) Full() bool {
	return l.Quantity == maxQuantity
}

// Lines returns a line for each product of the catalogue. An older release may have left
// other products in the cart. Those have no line, because the shop no longer sells them.
func (c cart) Lines() []line {
	var lines []line
	for _, p := range products {
		n := quantity(c.Items[p.ID])
		lines = append(lines, line{p, n, p.Price * cents(n)})
	}
	return lines
}

// Count returns the sum of all quantities in the cart.
func (c cart) Count() int {
	n := 0
	for _, l := range c.Lines() {
		n += l.Quantity
	}
	return n
}

// Total returns the price of all items in the cart.
func (c cart) Total() cents {
	var total cents
	for _, l := range c.Lines() {
		total += l.Total
	}
	return total
}

// quantity returns the nearest quantity that is allowed in a cart.
func quantity(stored int) int {
	return min(max(stored, 0), maxQuantity)
}
