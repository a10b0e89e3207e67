package main

import (
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

// This file writes "Your cookie", the last part of each page. Lessons 01 to 06 and 08 have
// the same file. You can skip it: it shows the session's cookie, and changes nothing.

// ending is the end of a page: the cookie that the request brought, the one that the
// response sets, and what changed between the two. Brought and Set are nil if there is no
// such cookie.
type ending struct {
	Name         string
	Brought, Set *cookie
	Refused      bool // the server did not accept the cookie that the request brought
	Deletes      bool // the response asks the browser to delete its cookie
}

// newEnding returns the end of the page that answers this request.
//
// Call it before the response begins, because it reads the session. Then the manager can
// tell caches that the response depends on the cookie.
func newEnding(r *http.Request) *ending {
	end := &ending{Name: cookieName}
	isNew := session.From(r).IsNew()
	if brought := r.CookiesNamed(cookieName); len(brought) > 0 {
		end.Brought = newCookie(brought[0])
		end.Refused = isNew
	}
	return end
}

// write writes the end of the page. The manager saves the session before the first byte of
// the response, so now the response has its Set-Cookie.
func (e *ending) write(w http.ResponseWriter) error {
	for _, line := range w.Header()["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == cookieName {
			e.Set = newCookie(c)
			e.Deletes = c.MaxAge < 0
		}
	}
	return endOfPage.Execute(w, e)
}

// HasID reports whether the cookie has a session ID and no values, as in lesson 08.
func (e *ending) HasID() bool {
	if e.Set != nil && !e.Deletes {
		return e.Set.hasID()
	}
	return e.Brought.hasID() && !e.Refused
}

// Changes returns the values that differ between the two cookies.
func (e *ending) Changes() []change {
	before, after := e.Brought.values(), e.Set.values()
	if e.Refused {
		before = nil
	}
	if e.Set == nil {
		after = before
	}
	keys := slices.Collect(maps.Keys(before))
	keys = slices.AppendSeq(keys, maps.Keys(after))
	slices.Sort(keys)
	var found []change
	for _, key := range slices.Compact(keys) {
		if string(before[key]) != string(after[key]) {
			found = append(found, change{key, shorten(string(before[key]), 200), shorten(string(after[key]), 200)})
		}
	}
	return found
}

// change is one value before and after, as JSON. Either is "" if there is no value.
type change struct{ Key, Before, After string }

// cookie is a cookie that is cut into its parts. No part is verified, so anyone can have
// made them up.
type cookie struct {
	Payload, Timestamp, Signature string // as they are in the cookie, shortened

	Name       string
	Decoded    string // the payload: JSON, or a session ID; "" if it cannot be read
	SignedAt   time.Time
	Bytes      int    // of name and value, which browsers limit to 4096
	Attributes string // of a Set-Cookie

	decoded []byte
}

func newCookie(c *http.Cookie) *cookie {
	made := &cookie{Name: c.Name, Payload: shorten(c.Value, 500), Bytes: len(c.Name) + len(c.Value)}
	_, made.Attributes, _ = strings.Cut(c.Raw, "; ")

	// A value that begins with a dot is compressed. It is not decompressed here, because a
	// few bytes that no one signed could become a megabyte.
	parts, err := session.Inspect(c.Value)
	if err != nil || strings.HasPrefix(c.Value, ".") {
		return made
	}
	cut := strings.Split(c.Value, ".")
	made.Payload, made.Timestamp = shorten(cut[0], 500), cut[1]
	// A page must not have the whole cookie of a session. Otherwise a script on the page
	// could read it there, in spite of HttpOnly.
	made.Signature = shorten(cut[2], 8)
	made.decoded, made.SignedAt = parts.Payload, parts.SignedAt
	made.Decoded = shorten(string(parts.Payload), 1000)
	return made
}

// values returns the values in a cookie, as JSON. If it has none, values returns nil.
func (c *cookie) values() (values map[string]json.RawMessage) {
	if c == nil || json.Unmarshal(c.decoded, &values) != nil {
		return nil
	}
	return values
}

func (c *cookie) hasID() bool {
	return c != nil && c.Decoded != "" && c.values() == nil
}

// shorten returns text. If it is longer than limit bytes, shorten cuts it and says so.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

var endOfPage = template.Must(template.New("end").Parse(`
<aside class="card" aria-labelledby="your-cookie">
  <h2 id="your-cookie">Your cookie</h2>
  <div class="pair">
    <section>
      <h3>This request brought</h3>
      {{if .Brought}}{{template "cookie" .Brought}}{{else}}<p>No cookie named <code>{{.Name}}</code>.</p>{{end}}
      {{if .Refused}}<p class="danger">The server refused this cookie, and began a new session. The log says why.</p>{{end}}
    </section>
    <section>
      <h3>This response sets</h3>
      {{if .Deletes}}<p class="cookie">{{.Name}}=; {{.Set.Attributes}}</p>
      <p>This asks the browser to delete its cookie.</p>
      {{- else if .Set}}{{template "cookie" .Set}}
      {{- else}}<p>No cookie. The browser keeps what it has. If a redirect led here, its response may have set one.</p>{{end}}
    </section>
  </div>
  <h3>What changed</h3>
  {{if .HasID}}<p>The cookie has a session ID. The values are in the store, so the cookie does not show how they change.</p>
  {{- else}}{{with .Changes}}<ul>
    {{range .}}<li><code>{{.Key}}</code>{{if not .Before}} was added: <code>{{.After}}</code>
      {{- else if not .After}} was removed. It was <code>{{.Before}}</code>
      {{- else}} changed from <code>{{.Before}}</code> to <code>{{.After}}</code>{{end}}</li>
    {{end}}
  </ul>{{else}}<p>No value changed.</p>{{end}}{{end}}
  <p>A signature has 43 characters. This page shows the first 8, because a page must never have a whole session cookie: a
    script on the page could read it.</p>
</aside>
</html>
{{define "cookie"}}<p class="cookie">{{.Name}}=<span class="payload">{{.Payload}}</span>
      {{- if .Decoded}}.<span class="timestamp">{{.Timestamp}}</span>.<span class="signature">{{.Signature}}</span>{{end}}</p>
      {{if not .Decoded}}<p>This is not a cookie of three parts: payload, timestamp, signature.</p>{{end}}
      <dl>
        {{- if .Decoded}}
        <dt class="payload">Payload</dt>
        <dd><code>{{.Decoded}}</code></dd>
        <dt class="timestamp">Timestamp</dt>
        <dd>{{.SignedAt.UTC.Format "2 January 2006, 15:04:05 UTC"}}</dd>
        <dt class="signature">Signature</dt>
        <dd>HMAC-SHA-256 of the two parts before it</dd>
        {{- end}}
        <dt>Size</dt>
        <dd>{{.Bytes}} of 4096 bytes, name and value</dd>
        {{with .Attributes}}<dt>Attributes</dt>
        <dd><code>{{.}}</code></dd>{{end}}
      </dl>{{end}}
`))
