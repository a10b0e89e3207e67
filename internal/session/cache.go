package session

import (
	"net/http"
	"slices"
	"strings"
)

// keepPrivate marks a response that depends on the session. Vary tells caches to
// separate visitors by their cookies, and private keeps the response out of caches
// that several visitors share. You can skip this file.
func keepPrivate(h http.Header) {
	depends := func(field string) bool { return field == "*" || strings.EqualFold(field, "Cookie") }
	if !slices.ContainsFunc(directives(h["Vary"]), depends) {
		h.Add("Vary", "Cookie")
	}
	for name, lines := range h {
		switch key := http.CanonicalHeaderKey(name); {
		// Headers such as CDN-Cache-Control are for one kind of cache, which prefers
		// them to Cache-Control (RFC 9213).
		case key == "Cache-Control" || strings.HasSuffix(key, "-Cache-Control"):
			h[name] = private(lines)
		case key == "Surrogate-Control": // has no private (Edge Architecture, section 2.3)
			h[name] = []string{"no-store"}
		case key == "X-Accel-Expires": // nginx prefers it to Cache-Control; 0 is its no-store
			h[name] = []string{"0"}
		}
	}
	if len(h["Cache-Control"]) == 0 {
		h.Set("Cache-Control", "private")
	}
}

// private returns a Cache-Control header with which no shared cache stores the
// response (RFC 9111, section 5.2.2).
func private(lines []string) []string {
	text := strings.Join(lines, ",")
	if strings.Count(text, `"`)%2 == 1 || strings.Contains(text, `\`) {
		return []string{"private"} // caches may disagree where the quote ends
	}
	var kept []string
	var noStore, mustUnderstand bool
	for _, directive := range directives(lines) {
		name, _, argument := strings.Cut(strings.ToLower(directive), "=")
		switch {
		case name == "private" && !argument: // private="X-Field" is about one header only
			return lines
		case name == "public", strings.TrimSpace(name) == "s-maxage":
			continue
		case name == "no-store" && !argument:
			noStore = true
		case name == "must-understand":
			mustUnderstand = true
		}
		kept = append(kept, directive)
	}
	if noStore && !mustUnderstand { // with must-understand, a cache may ignore no-store
		return lines
	}
	return []string{strings.Join(append(kept, "private"), ", ")}
}

// directives returns the members of a header that is a list. A comma in quotes does
// not separate two members.
func directives(lines []string) []string {
	quoted := false
	list := strings.FieldsFunc(strings.Join(lines, ","), func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return slices.DeleteFunc(list, func(d string) bool { return d == "" })
}
