package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
)

// bench changes the visitor's real cookie. The classroom can do that, because cookies have
// no port: the browser sends the cookie of the lesson to the classroom too, and takes a new
// one from it.
type bench struct {
	mu      sync.Mutex
	copied  string   // a value that the visitor took a copy of, or ""
	waiting *verdict // until the next request says what the program does with the cookie
}

// verdict is what the program did after an action.
type verdict struct {
	Action string
	Before string // the value, if the action changed one letter: it is marked
	Letter string
	Rest   string
	After  string // what the next request brings; "" if it brings no cookie
	Word   string // "accepted", "refused", or "" as long as no request has come
	Reason string // of the log
	Why    reason
	Stays  bool // the browser still has a cookie that the program refuses
}

// reason explains a verdict, and names the lesson that has more about it.
type reason struct{ Text, Page string }

// reasons explain the verdicts.
var reasons = map[string]reason{
	"edit refused":    {"The signature would have to match the new payload, and only someone who has the secret can make such a signature.", "lessons/01-counter"},
	"letter refused":  {"The signature is of the text as it was. With one letter changed, it does not match any more.", "lessons/01-counter"},
	"cut refused":     {"There is no signature, and only someone who has the secret can make one.", "lessons/01-counter"},
	"put accepted":    {"The old cookie stays valid, because the server does not remember which cookies it has seen.", "lessons/05-cart"},
	"put ID accepted": {"The copy has a session ID, and the server still has the record of this session.", "lessons/08-database"},
	"put refused":     {"The server has no record of this session any more. For example, a logout ends the record.", "lessons/08-database"},
	"same accepted":   {"The program has the same secret as before, so the signature in your cookie still matches.", "lessons/01-counter"},
	"other refused":   {"The program has another secret now, so no signature that it made before matches.", "lessons/01-counter"},
}

var (
	errNoCookie = errors.New("your browser has no cookie of this lesson: click in the page first")
	errNoCopy   = errors.New("there is no copy yet: take one first")
	errHasID    = errors.New("this cookie has a session ID, so there are no values to edit in it")
	errJSON     = errors.New("the values must be a JSON object, such as {\"name\":\"value\"}")
	errTooLarge = errors.New("a cookie can have at most 4096 bytes, and with these values it has more: the browser would not store it")
	errNoAction = errors.New("there is no such action")
)

// act does what a button of the bench says to the cookie with this name and value. The verdict has the cookie's new value, which
// is "" to delete it.
func (b *bench) act(action, name, value, values string) (verdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if value == "" && action != "put" {
		return verdict{}, errNoCookie
	}
	payload, signed, _ := strings.Cut(value, ".")
	v := verdict{Action: action, After: value}
	switch action {
	case "edit":
		var object map[string]json.RawMessage
		var short bytes.Buffer
		old, err := base64.RawURLEncoding.DecodeString(payload)
		if err != nil || !json.Valid(old) {
			return verdict{}, errHasID
		}
		if json.Unmarshal([]byte(values), &object) != nil || json.Compact(&short, []byte(values)) != nil {
			return verdict{}, errJSON
		}
		v.After = base64.RawURLEncoding.EncodeToString(short.Bytes()) + "." + signed
	case "letter":
		i := len(payload) / 2
		letter := "A"
		if value[i] == 'A' {
			letter = "B"
		}
		v.Before, v.Letter, v.Rest = value[:i], letter, value[i+1:]
		v.After = v.Before + v.Letter + v.Rest
	case "cut":
		v.After = value[:strings.LastIndexByte(value, '.')+1]
	case "copy":
		b.copied = value
		v.Word = "copied"
	case "put":
		if b.copied == "" {
			return verdict{}, errNoCopy
		}
		v.After = b.copied
	case "delete":
		v.After = ""
	case "same", "other":
	default:
		return verdict{}, errNoAction
	}
	if len(name)+len(v.After) > 4096 {
		return verdict{}, errTooLarge
	}
	b.waiting = &v
	return v, nil
}

// judge returns the verdict, if this exchange is what an action waited for.
func (b *bench) judge(x *exchange) *verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.waiting
	if v == nil || v.Word == "copied" || !x.IsPage || v.After == "" != (x.Brought == nil) || x.Brought != nil && x.Brought.Value != v.After {
		return nil
	}
	b.waiting = nil
	v.Word, v.Reason = "accepted", ""
	if x.Refused {
		v.Word, v.Reason = "refused", x.Reason
	}
	if x.Brought == nil {
		v.Word = "forgotten"
	}
	about := v.Action + " " + v.Word
	if v.Action == "put" && x.HasID() && !x.Refused {
		about = "put ID accepted"
	}
	v.Why = reasons[about]
	v.Stays = x.Refused && x.Set == nil
	return v
}

// set makes the browser store this value. It keeps the attributes that the program gave
// the cookie last, so that the cookie lasts as long as it did.
func (w *wire) set(rw http.ResponseWriter, value string) {
	w.mu.Lock()
	c := http.Cookie{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if last := w.last["localhost"]; last != nil && last.MaxAge >= 0 {
		c.Path, c.HttpOnly, c.SameSite, c.MaxAge = last.Path, last.HttpOnly, last.SameSite, last.MaxAge
	}
	c.Name, c.Value = w.name, value
	w.mu.Unlock()
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(rw, &c)
}
