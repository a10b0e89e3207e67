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
	maxOpen = 5  // forms in one session that were not sent yet
	maxSent = 10 // receipts in one session
)

// forms is the visitor's forms. It is the only value in the session.
const forms = session.Key[formList]("forms")

// form is a form that a visitor has begun. After the visitor has sent it, the answers are
// in the outbox and no longer here.
type form struct {
	ID      string            `json:"id"` // random; in the path of each of its pages
	Begun   time.Time         `json:"begun,omitzero"`
	Answers map[string]string `json:"answers,omitempty"` // as they were typed, by field
	Sent    bool              `json:"sent,omitempty"`
}

// formList has the open forms in the order in which they began, and the forms that were
// sent in the order in which they were sent.
//
// The methods answer, discard and send are for Update. If another tab saved the
// session at the same time, Update calls them again on the newer list. So they must be
// pure functions: their result depends on their arguments only, and not on a clock, a
// disk or a random number.
type formList []form

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

// send replaces a form by its receipt, even if another tab has changed or discarded the
// form at the same time. The reason is that the order is already in the outbox.
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

// Open returns the forms that the visitor can still fill in.
func (l formList) Open() formList {
	return slices.DeleteFunc(slices.Clone(l), func(f form) bool { return f.Sent })
}

// Sent returns the forms that were sent.
func (l formList) Sent() formList {
	return slices.DeleteFunc(slices.Clone(l), func(f form) bool { return !f.Sent })
}

// Full reports whether the visitor can begin no other form.
func (l formList) Full() bool { return len(l.Open()) >= maxOpen }

// Path returns the address of one of the form's pages.
func (f form) Path(page string) string { return "/forms/" + f.ID + "/" + page }

// unfinished returns the first step that the visitor must still finish.
//
// It checks the answers again, because a right answer can become wrong. For example, the
// day of delivery can have passed.
func (f form) unfinished() int {
	for i, s := range steps[:review] {
		if len(s.check(f.Answers)) > 0 {
			return i
		}
	}
	return review
}

// digest returns a hash of the answers. The review page sends it back, so that the
// visitor sends exactly the answers that the page showed.
func (f form) digest() string {
	data, _ := json.Marshal(f.Answers) // sorts by field, and never fails for a map of strings
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
