package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

// cookie is a cookie of the program, cut into its parts.
type cookie struct {
	Name, Value                   string
	Payload, Timestamp, Signature string // as they are in the value; Payload is all of it if there are no parts
	Bytes                         int    // of name and value, which browsers limit to 4096
	Attributes                    []attribute
	Problem                       string // why the signature is not valid; "" if it is

	Decoded  string // the payload: JSON, or a session ID; "" if it cannot be read
	HasID    bool   // the payload is a session ID
	SignedAt time.Time

	values map[string]json.RawMessage
}

// attribute is an attribute of a Set-Cookie, and what it does.
type attribute struct{ Text, Does string }

// cut cuts a cookie into its parts, and verifies it with the program's secret.
func (w *wire) cut(c *http.Cookie) *cookie {
	made := &cookie{Name: shorten(c.Name, 100), Value: c.Value, Payload: shorten(c.Value, 400), Bytes: len(c.Name) + len(c.Value)}
	if c.Raw != "" {
		_, attributes, _ := strings.Cut(c.Raw, ";")
		made.Attributes = explain(attributes)
	}
	if c.Value == "" {
		return made
	}
	w.program.mu.Lock()
	secret := w.program.secret
	w.program.mu.Unlock()
	if err := verify(secret, c.Name, c.Value); err != nil {
		made.Problem = err.Error()
		// A compressed payload of a few bytes can become a megabyte. No one signed it.
		if strings.HasPrefix(c.Value, ".") {
			return made
		}
	}
	parts, err := session.Inspect(c.Value)
	if err != nil {
		return made
	}
	signature := strings.LastIndexByte(c.Value, '.')
	timestamp := strings.LastIndexByte(c.Value[:signature], '.')
	made.Payload, made.Timestamp, made.Signature = shorten(c.Value[:timestamp], 400), c.Value[timestamp+1:signature], c.Value[signature+1:]
	made.SignedAt = parts.SignedAt
	made.Decoded = shorten(strings.ToValidUTF8(string(parts.Payload), "\uFFFD"), 2000)
	if json.Unmarshal(parts.Payload, &made.values) != nil {
		made.HasID = len(bytes.Trim(parts.Payload, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")) == 0
	}
	return made
}

// verify returns nil if the secret has signed the cookie. The salt says whether the cookie
// has values in it or a session ID.
func verify(secret, name, value string) error {
	var failed error
	for _, options := range []*session.Options{{Name: name}, {Name: name, Salt: "session-id." + name}} {
		sessions, err := session.New([]byte(secret), options)
		if err != nil {
			return err
		}
		if failed = sessions.Verify(value); failed == nil {
			return nil
		}
	}
	return failed
}

// explain says what each attribute does.
func explain(attributes string) []attribute {
	does := map[string]string{
		"path":     "the browser sends the cookie to these paths and all below them",
		"httponly": "no script on a page can read the cookie",
		"secure":   "the browser sends the cookie over HTTPS only",
		"samesite": "with Lax, the browser sends the cookie when a link of another site leads here, and not with a POST from there",
		"max-age":  "the browser deletes the cookie after so many seconds; without it, when it closes",
		"expires":  "the browser deletes the cookie at this time",
		"domain":   "the browser sends the cookie to this domain and all below it",
	}
	var found []attribute
	for text := range strings.SplitSeq(attributes, ";") {
		text = strings.TrimSpace(text)
		name, _, _ := strings.Cut(text, "=")
		if text != "" && len(found) < 10 {
			found = append(found, attribute{shorten(text, 100), does[strings.ToLower(name)]})
		}
	}
	return found
}

// change is a value of the session before and after. Either is "" if there is no value.
type change struct{ Key, Before, After string }

// Mark says in one word what happened to the value.
func (c change) Mark() string {
	switch {
	case c.Before == "":
		return "added"
	case c.After == "":
		return "removed"
	case c.Before == c.After:
		return "same"
	}
	return "changed"
}

// Changes returns the values of the session before the exchange and after it.
func (x *exchange) Changes() []change {
	var before, after map[string]json.RawMessage
	if x.Brought != nil && !x.Refused {
		before = x.Brought.values
	}
	if after = before; x.Set != nil {
		after = x.Set.values
	}
	keys := slices.Collect(maps.Keys(before))
	keys = slices.AppendSeq(keys, maps.Keys(after))
	slices.Sort(keys)
	var found []change
	for _, key := range slices.Compact(keys) {
		found = append(found, change{shorten(key, 100), shorten(string(before[key]), 300), shorten(string(after[key]), 300)})
	}
	return found[:min(len(found), 50)]
}

// HasID reports whether the values are in a store on the server, and not in the cookie.
func (x *exchange) HasID() bool {
	return x.Set != nil && x.Set.HasID || x.Set == nil && x.Brought != nil && x.Brought.HasID
}

// shorten returns text. If it is longer than limit bytes, shorten cuts it and says so.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
