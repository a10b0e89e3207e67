package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"example.com/sessions/internal/session"
)

// cookie is a cookie's name and value.
type cookie struct {
	name, value string
}

// findCookie returns the cookie that is in the text. If there are several, it returns
// the one that has the name or, without a name, the only one that has a session's form.
func findCookie(text, name string) (cookie, error) {
	cookies := readCookies(text, name)
	if name != "" {
		cookies = slices.DeleteFunc(cookies, func(c cookie) bool { return c.name != name })
	}
	if len(cookies) > 1 {
		if formed := withForm(cookies); len(formed) > 0 {
			cookies = formed
		}
	}
	switch {
	case len(cookies) == 0 && name != "":
		return cookie{}, fmt.Errorf("there is no cookie named %.40q", name)
	case len(cookies) == 0:
		return cookie{}, fmt.Errorf("%w: there is no cookie", errUsage)
	case len(cookies) > 1:
		return cookie{}, ambiguous(cookies)
	case cookies[0].value == "":
		return cookie{}, fmt.Errorf("the cookie is empty: a server deletes a cookie this way")
	}
	return cookies[0], nil
}

// readCookies returns the cookies of all header lines. If the text has no header line,
// it is read as the text of a Cookie header, or as a value alone.
func readCookies(text, name string) []cookie {
	request := &http.Request{Header: http.Header{}}
	response := &http.Response{Header: http.Header{}}
	for line := range strings.Lines(text) {
		field, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.Trim(field, "<> \t")) { // curl -v draws arrows
		case "cookie":
			request.Header.Add("Cookie", strings.TrimSpace(value))
		case "set-cookie":
			response.Header.Add("Set-Cookie", strings.TrimSpace(value))
		}
	}
	if len(request.Header)+len(response.Header) == 0 {
		text = strings.TrimSpace(text)
		if text != "" && !strings.Contains(text, "=") {
			if name == "" {
				name = "session"
			}
			return []cookie{{name, text}}
		}
		request.Header.Set("Cookie", text)
	}
	var cookies []cookie
	for _, c := range append(request.Cookies(), response.Cookies()...) {
		// Quotes are part of a value. No session's value has them, so Inspect refuses it.
		if c.Quoted {
			c.Value = `"` + c.Value + `"`
		}
		if found := (cookie{c.Name, c.Value}); !slices.Contains(cookies, found) {
			cookies = append(cookies, found)
		}
	}
	return cookies
}

// withForm returns the cookies that have the form payload.timestamp.signature.
func withForm(cookies []cookie) []cookie {
	var formed []cookie
	for _, c := range cookies {
		if _, err := session.Inspect(c.value); err == nil {
			formed = append(formed, c)
		}
	}
	return formed
}

// ambiguous returns the error that lists the cookies, so that the user can choose one.
func ambiguous(cookies []cookie) error {
	var names []string
	for _, c := range cookies[:min(len(cookies), 10)] {
		names = append(names, fmt.Sprintf("%.40q", c.name))
	}
	return fmt.Errorf("%w: there are %d cookies (%s); say which with -name, or give one value",
		errUsage, len(cookies), strings.Join(names, ", "))
}
