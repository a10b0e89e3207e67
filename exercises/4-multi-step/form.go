package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"example.com/sessions/internal/session"
)

const (
	maxOpen = 5  // forms that are not sent yet, in one session
	maxSent = 10 // receipts that a session remembers
)

// forms is the one value in the session: the visitor's forms.
const forms = session.Key[formList]("forms")

// form is an order on its way. Once it is sent its answers are in the outbox, and
// no longer here.
type form struct {
	ID      string            `json:"id"` // random; in the path of each of its pages
	Begun   time.Time         `json:"begun,omitzero"`
	Answers map[string]string `json:"answers,omitempty"` // as they were typed, by field
	Sent    bool              `json:"sent,omitempty"`
}

// formList has the open forms in the order in which they began, and those that
// were sent in the order of that.
//
// Its methods that make a change are for Update, which calls them again on what
// another tab has saved meanwhile. So they look at no clock, no disk and no random
// numbers, and decide on nothing but the list that they are given.
type formList []form

// begin adds a form, unless too many are open.
func (l formList) begin(id string, now time.Time) formList {
	if l.Full() {
		return l
	}
	return append(l, form{ID: id, Begun: now})
}

// answer stores the answers of a step, unless the form has been sent or discarded.
func (l formList) answer(id string, typed map[string]string) formList {
	for i, f := range l {
		if f.ID == id && !f.Sent {
			l[i].Answers = make(map[string]string)
			maps.Copy(l[i].Answers, f.Answers)
			maps.Copy(l[i].Answers, typed)
		}
	}
	return l
}

// discard removes a form, unless it has been sent.
func (l formList) discard(id string) formList {
	if f, _ := l.find(id); f.Sent {
		return l
	}
	return l.without(id)
}

// send turns a form into its receipt. It does so even where another tab has
// changed or discarded the form meanwhile: the order is in the outbox by now.
func (l formList) send(id string) formList {
	l = append(l.without(id), form{ID: id, Sent: true})
	if sent := l.Sent(); len(sent) > maxSent {
		l = l.without(sent[0].ID)
	}
	return l
}

func (l formList) without(id string) formList {
	return slices.DeleteFunc(l, func(f form) bool { return f.ID == id })
}

func (l formList) find(id string) (form, bool) {
	i := slices.IndexFunc(l, func(f form) bool { return f.ID == id })
	if i < 0 {
		return form{}, false
	}
	return l[i], true
}

// Open returns the forms that can still be filled in.
func (l formList) Open() formList {
	return slices.DeleteFunc(slices.Clone(l), func(f form) bool { return f.Sent })
}

// Sent returns the forms that were sent.
func (l formList) Sent() formList {
	return slices.DeleteFunc(slices.Clone(l), func(f form) bool { return !f.Sent })
}

// Full reports whether no other form can be begun.
func (l formList) Full() bool { return len(l.Open()) >= maxOpen }

// Path returns the address of one of the form's pages.
func (f form) Path(page string) string { return "/forms/" + f.ID + "/" + page }

// unfinished returns the first step that is still to be done. It asks the rules as
// they are now: an answer that was right when it was typed, such as the day after,
// may be wrong today.
func (f form) unfinished() int {
	for i, s := range steps[:review] {
		if len(s.check(f.Answers)) > 0 {
			return i
		}
	}
	return review
}

// digest stands for the answers. The review page sends it back, so that what is
// sent is what was shown.
func (f form) digest() string {
	data, _ := json.Marshal(f.Answers) // sorted by field; no map of strings is an error
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
