package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"time"

	"example.com/sessions/internal/session"
)

const maxForm = 16 << 10 // bytes of a posted step; the longest note takes 12,000

// newHandler returns the exercise's site. Each order that is sent becomes a file in
// the directory orders. Each step has patterns of its own, so that the mux knows
// which pages there are: another name is 404, and a GET of what wants a POST 405.
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

// start lists the forms. It begins none: what fetches pages by itself, such as a
// crawler, is to leave nothing in the store.
func start(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "start", forms.Get(session.From(r)))
}

// begin makes a form, and the session permanent, so that it outlives the browser.
// The ID is drawn here and not in the function that Update may call again. Of two
// tabs that begin the fifth form at once, one finds that there is no such form.
func begin(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	if forms.Get(s).Full() {
		http.Redirect(w, r, "/", http.StatusSeeOther) // the page says why
		return
	}
	f := form{ID: rand.Text(), Begun: time.Now().UTC()}
	forms.Update(s, func(l formList) formList { return l.begin(f.ID, f.Begun) })
	s.SetPermanent(true)
	http.Redirect(w, r, f.Path(steps[0].Name), http.StatusSeeOther)
}

// formHandler answers a request for a page of a form.
type formHandler func(w http.ResponseWriter, r *http.Request, f form)

// onForm finds the form of the path among the visitor's own. A form that has been
// sent has one page left.
func onForm(next formHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, ok := forms.Get(session.From(r)).find(r.PathValue("id"))
		switch {
		case !ok:
			noSuchForm(w)
		case f.Sent:
			http.Redirect(w, r, f.Path("receipt"), http.StatusSeeOther)
		default:
			next(w, r, f)
		}
	}
}

// onStep keeps visitors from skipping: whoever comes to step i while an earlier
// one is unfinished is sent to that one, and what was posted is not stored.
func onStep(i int, next formHandler) http.HandlerFunc {
	return onForm(func(w http.ResponseWriter, r *http.Request, f form) {
		if f.unfinished() < i {
			resume(w, r, f)
			return
		}
		next(w, r, f)
	})
}

// resume leads to the first step that is still to be done.
func resume(w http.ResponseWriter, r *http.Request, f form) {
	http.Redirect(w, r, f.Path(steps[f.unfinished()].Name), http.StatusSeeOther)
}

// ask shows step i as it was answered, with what is wrong about that by the rules
// as they are now.
func ask(i int) formHandler {
	return func(w http.ResponseWriter, r *http.Request, f form) {
		showStep(w, f, i)
	}
}

// answer stores what was typed into step i, right or wrong, and leads on if it is
// right. Either way the answer is a redirect, to a page that reload, Back and
// Forward can fetch as often as they like (post/redirect/get). Were the errors
// shown here, whoever came back to them would be asked by the browser whether to
// send the form again.
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

// look shows all answers. The digest of what it shows comes back with the button.
func look(w http.ResponseWriter, r *http.Request, f form) {
	showReview(w, f, r.URL.Query().Has("changed"))
}

// send puts the order into the outbox and marks the form as sent.
//
// Of two presses at once, both get here. Neither has seen what the other does, and
// the session cannot tell them who is first: the manager saves it when this
// function is done. So they do not ask. Both put the order, the outbox keeps one,
// and both are led to its receipt.
//
// A program that is killed between the outbox and the session has sent an order
// and not marked it. The visitor presses again, and it is in the outbox already.
// With an order that is sent only after the session was saved, the visitor would
// have a receipt, and nobody the order.
func (o outbox) send(w http.ResponseWriter, r *http.Request, f form) {
	if r.PostForm.Get("seen") != f.digest() {
		http.Redirect(w, r, f.Path("review?changed"), http.StatusSeeOther)
		return
	}
	if err := o.put(order{f.ID, time.Now().UTC(), f.Answers}); err != nil {
		log.Print(err)
		problem(w, http.StatusServiceUnavailable, "The order could not be taken just now. Your answers are kept. Go back and press the button again, as often as you like: the order is sent once.")
		return
	}
	forms.Update(session.From(r), func(l formList) formList { return l.send(f.ID) })
	http.Redirect(w, r, f.Path("receipt"), http.StatusSeeOther)
}

// receipt shows what was sent, which is what the outbox has.
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
	case errors.Is(err, fs.ErrNotExist): // it was planted, and put away
		problem(w, http.StatusGone, "This order was sent, and is no longer kept here.")
	case err != nil:
		log.Print(err)
		problem(w, http.StatusServiceUnavailable, "This order was sent. It cannot be shown just now.")
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
			problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("That is too much: a step may have %d bytes. Go back, and shorten it.", maxForm))
			return
		}
		if err != nil {
			problem(w, http.StatusBadRequest, "The form is damaged. Go back, and send it again.")
			return
		}
		next(w, r)
	}
}
