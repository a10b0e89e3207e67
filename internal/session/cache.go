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
	if vary := directives(h["Vary"]); !has(vary, "cookie") && !has(vary, "*") {
		h.Add("Vary", "Cookie")
	}
	if len(h["Cache-Control"]) == 0 {
		h.Set("Cache-Control", "private")
	}
	for name, lines := range h {
		switch key := http.CanonicalHeaderKey(name); {
		// Headers such as CDN-Cache-Control are for one kind of cache, which prefers
		// them to Cache-Control (RFC 9213).
		case key == "Cache-Control" || strings.HasSuffix(key, "-Cache-Control"):
			h[name] = private(lines)
		case key == "Surrogate-Control": // has no private (Edge Architecture, section 2.3)
			h[name] = []string{"no-store"}
		}
	}
}

// private returns a Cache-Control header with which no shared cache stores the
// response (RFC 9111, section 5.2.2).
func private(lines []string) []string {
	text := strings.Join(lines, ",")
	if strings.Count(text, `"`)%2 == 1 || strings.Contains(text, `\`) {
		return []string{"private"} // caches may disagree where the quote ends
	}
	cache := directives(lines)
	if has(cache, "private") {
		return lines
	}
	// A cache that obeys must-understand may ignore no-store.
	if has(cache, "no-store") && !has(cache, "must-understand") {
		return lines
	}
	cache = slices.DeleteFunc(cache, func(d string) bool {
		return is(d, "public") || is(d, "s-maxage")
	})
	return []string{strings.Join(append(cache, "private"), ", ")}
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

func has(list []string, name string) bool {
	return slices.ContainsFunc(list, func(d string) bool { return is(d, name) })
}

// is reports whether directive d is called name. A directive with an argument is
// another one, except s-maxage, which always has one: private="X-Field" does not make
// the response private.
func is(d, name string) bool {
	if name == "s-maxage" {
		d, _, _ = strings.Cut(d, "=")
	}
	return strings.EqualFold(strings.TrimSpace(d), name)
}
