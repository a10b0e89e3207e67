package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"

	"example.com/sessions/internal/session"
)

const maxForm = 16 << 10 // bytes of a posted step; the longest note takes 12,000

// newHandler returns the exercise's site. Each order that is sent becomes a file in the
// directory orders.
//
// Each step has its own patterns, so that the mux knows every page. It answers another
// name with 404, and a GET with 405 where only POST is allowed.
func newHandler(sessions *session.Manager, orders *os.Root) http.Handler {
	out := outbox{orders}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", start)
	mux.HandleFunc("POST /{$}", begin)
	mux.HandleFunc("GET /forms/{id}", onForm(resume))
	for i, s := range steps[:review] {
		mux.HandleFunc("GET /forms/{id}/"+s.Name, onStep(i, ask(i)))
		mux.HandleFunc("POST /forms/{id}/"+s.Name, readForm(onStep(i, answer(i))))
	}
	mux.HandleFunc("GET /forms/{id}/review", onStep(review, look))
	mux.HandleFunc("POST /forms/{id}/review", readForm(onStep(review, out.send)))
	mux.HandleFunc("GET /forms/{id}/receipt", out.receipt)
	mux.HandleFunc("POST /forms/{id}/discard", onForm(discard))
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// start lists the forms. It does not begin one, because a program that fetches pages by
// itself, such as a crawler, must leave nothing in the store.
func start(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "start", forms.Get(session.From(r)))
}

// begin begins a form. It also makes the session permanent, so that the form outlives the
// browser.
//
// begin makes the ID outside the function that it gives to Update, because Update can
// call that function again.
//
// Renew gives the session a new ID, and ends the old one. Otherwise an attacker could begin
// a form, plant its cookie in the visitor's browser (session fixation), and later read what
// the visitor typed.
//
// If two tabs begin a form at the same time, the first one to be saved ends the ID that
// both requests have. So the other tab is told that there is no such form, and there are
// never more than five.
func begin(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	if forms.Get(s).Full() {
		http.Redirect(w, r, "/", http.StatusSeeOther) // the page says why
		return
	}
	f := form{ID: rand.Text(), Begun: time.Now().UTC()}
	forms.Update(s, func(l formList) formList { return append(l, f) })
	s.SetPermanent(true)
	s.Renew()
	http.Redirect(w, r, f.Path(steps[0].Name), http.StatusSeeOther)
}

// formHandler is a handler for a page of a form.
type formHandler func(w http.ResponseWriter, r *http.Request, f form)

// onForm returns a handler that calls next with the form in the path. It looks only among
// the visitor's own forms. If the form was sent, it redirects to the receipt, which is the
// only page left.
//
// If there is no such form, a GET gets a 404. A POST gets a redirect to that 404, so that
// the browser does not ask a visitor who comes back to it whether to send the form again.
func onForm(next formHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, ok := forms.Get(session.From(r)).find(r.PathValue("id"))
		switch {
		case !ok && r.Method == http.MethodPost:
			http.Redirect(w, r, "/forms/"+url.PathEscape(r.PathValue("id")), http.StatusSeeOther)
		case !ok:
			noSuchForm(w)
		case f.Sent:
			http.Redirect(w, r, f.Path("receipt"), http.StatusSeeOther)
		default:
			next(w, r, f)
		}
	}
}

// onStep returns a handler for step i, which no visitor can reach while an earlier step is
// unfinished. It redirects such a request to the unfinished step, and stores nothing of
// what was posted.
func onStep(i int, next formHandler) http.HandlerFunc {
	return onForm(func(w http.ResponseWriter, r *http.Request, f form) {
		if f.unfinished() < i {
			resume(w, r, f)
			return
		}
		next(w, r, f)
	})
}

// resume redirects to the first unfinished step.
func resume(w http.ResponseWriter, r *http.Request, f form) {
	http.Redirect(w, r, f.Path(steps[f.unfinished()].Name), http.StatusSeeOther)
}

// ask returns a handler that shows step i with the answers so far, and with the problems
// that they have today.
func ask(i int) formHandler {
	return func(w http.ResponseWriter, r *http.Request, f form) {
		showStep(w, f, i)
	}
}

// answer returns a handler that stores what was typed into step i, right or wrong. If it
// is right, the handler redirects to the next step, and otherwise back to this one.
//
// The response is always a redirect (post/redirect/get), so that the browser can fetch
// the page again on reload, Back and Forward. If the response to the POST showed the
// errors, the browser would ask visitors who come back to it whether to send the form
// again.
func answer(i int) formHandler {
	return func(w http.ResponseWriter, r *http.Request, f form) {
		typed := steps[i].read(r.PostForm)
		forms.Update(session.From(r), func(l formList) formList { return l.answer(f.ID, typed) })
		next := steps[i+1]
		if len(steps[i].check(typed)) > 0 {
			next = steps[i]
		}
		http.Redirect(w, r, f.Path(next.Name), http.StatusSeeOther)
	}
}

// look shows all answers. The page's button sends the digest of these answers.
func look(w http.ResponseWriter, r *http.Request, f form) {
	showReview(w, f, r.URL.Query().Has("changed"))
}

// send puts the order into the outbox and marks the form as sent.
//
// If a visitor presses the button twice at the same time, both requests get here. The
// session cannot tell them which is first, because the manager saves it only after this
// function has returned. So both put the order, the outbox stores one, and both
// redirect to its receipt.
//
// The order goes into the outbox before the session is saved. If the program is killed
// between the two, the form is not marked as sent. The visitor presses the button again,
// and the outbox already has the order. With the other sequence, the visitor could have a
// receipt for an order that does not exist.
func (o outbox) send(w http.ResponseWriter, r *http.Request, f form) {
	if r.PostForm.Get("seen") != f.digest() {
		http.Redirect(w, r, f.Path("review?changed"), http.StatusSeeOther)
		return
	}
	if err := o.put(order{f.ID, time.Now().UTC(), f.Answers}); err != nil {
		log.Print(err)
		problem(w, http.StatusServiceUnavailable, "The order could not be saved. Your answers are still here. Go back and press the button again. You can press it many times: the order is sent only once.")
		return
	}
	forms.Update(session.From(r), func(l formList) formList { return l.send(f.ID) })
	http.Redirect(w, r, f.Path("receipt"), http.StatusSeeOther)
}

// receipt shows the order in the outbox.
func (o outbox) receipt(w http.ResponseWriter, r *http.Request) {
	f, ok := forms.Get(session.From(r)).find(r.PathValue("id"))
	if !ok {
		noSuchForm(w)
		return
	}
	if !f.Sent {
		resume(w, r, f)
		return
	}
	ord, err := o.get(f.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist): // the tree was planted, and the gardener removed the file
		problem(w, http.StatusGone, "This order was sent. Its receipt has been removed.")
	case err != nil:
		log.Print(err)
		problem(w, http.StatusServiceUnavailable, "This order was sent. The site cannot show it at the moment. Try again later.")
	default:
		showReceipt(w, f, ord)
	}
}

func discard(w http.ResponseWriter, r *http.Request, f form) {
	forms.Update(session.From(r), func(l formList) formList { return l.discard(f.ID) })
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// readForm reads a posted form before next runs.
func readForm(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The form is too large: more than %d bytes. Go back and make it shorter.", maxForm))
			return
		}
		if err != nil {
			problem(w, http.StatusBadRequest, "The form is damaged. Go back and send it again.")
			return
		}
		next(w, r)
	}
}
