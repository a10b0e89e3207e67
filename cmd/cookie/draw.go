package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"example.com/sessions/internal/session"
)

const (
	maxCookie   = 4096    // bytes of name and value that browsers store (RFC 6265bis, section 5.6)
	maxKeys     = 20      // whose sizes are shown
	maxForeign  = 300     // bytes that are shown of a payload that is not a session's
	maxIndented = 1 << 20 // bytes of a session after indenting
	indentation = "           "
)

// kind says what a payload is.
type kind int

const (
	values    kind = iota // of a client-side session
	sessionID             // of a server-side session
	foreign               // another program's
)

// kindOf returns what a payload is, judged by its form.
func kindOf(payload []byte) kind {
	object := bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{"))
	switch {
	case object && json.Valid(payload) && utf8.Valid(payload):
		return values
	case 26 <= len(payload) && len(payload) <= 64 && len(bytes.Trim(payload, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")) == 0:
		return sessionID
	}
	return foreign
}

// page is what the command writes on.
type page struct {
	io.Writer
	width  int
	colour bool
}

// wantColour reports whether out is a terminal that may have colours
// (https://no-color.org).
func wantColour(out io.Writer, env func(string) string) bool {
	file, ok := out.(*os.File)
	if !ok || env("NO_COLOR") != "" || env("TERM") == "" || env("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// columns returns the terminal's width, which is 80 unless COLUMNS says otherwise.
func columns(env func(string) string) int {
	n, err := strconv.Atoi(env("COLUMNS"))
	if err != nil || n < 20 || n > 500 {
		return 80
	}
	return n
}

// These are the colours of ECMA-48.
const (
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	magenta = "\x1b[35m"
	cyan    = "\x1b[36m"
	plain   = "\x1b[0m"
)

func (p page) paint(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return colour + text + plain
}

// show writes everything that the command knows about a cookie.
func (p page) show(c cookie, parts session.Parts, v verdict) {
	p.draw(c.value)
	p.payload(c, parts.Payload)
	p.line("signed", "%s, %s%s", clock(parts.SignedAt), age(parts.SignedAt), oldEpoch(parts.SignedAt))
	size := len(c.name) + len(c.value)
	p.line("size", "%d of %d bytes, name and value", size, maxCookie)
	if kindOf(parts.Payload) == values {
		p.keys(parts.Payload)
	}
	p.line("signature", "%s", p.paint(map[status]string{valid: green, notValid: red}[v.status], v.text))
}

// draw writes the value with the name of each part under it. It writes as many parts
// side by side as fit in a row.
func (p page) draw(value string) {
	fields := strings.Split(value, ".") // a compressed payload has a dot of its own
	last := len(fields) - 1
	row := row{page: p}
	row.add("payload", strings.Join(fields[:last-1], "."), cyan)
	row.add("timestamp", fields[last-1], yellow)
	row.add("signature", fields[last], magenta)
	row.end()
}

// row is a row of the drawing: parts of a value, side by side, and their names below.
type row struct {
	page         page
	texts, names string
	used, parts  int
}

// add puts a part beside the ones before it, or on rows of its own if it does not fit.
func (r *row) add(name, text, colour string) {
	dot := ""
	if r.parts > 0 {
		dot = " . "
	}
	if r.used > 0 && r.used+len(dot)+max(len(text), len(name)) > r.page.width {
		r.end()
		dot = ". "
	}
	for r.used == 0 && len(dot)+len(text) > r.page.width {
		cut := r.page.width - len(dot)
		fmt.Fprintln(r.page, dot+r.page.paint(colour, text[:cut]))
		text, dot = text[cut:], strings.Repeat(" ", len(dot))
	}
	cell := max(len(text), len(name))
	r.texts += dot + r.page.paint(colour, text) + strings.Repeat(" ", cell-len(text))
	r.names += strings.Repeat(" ", len(dot)) + r.page.paint(colour, name) + strings.Repeat(" ", cell-len(name))
	r.used += len(dot) + cell
	r.parts++
}

// end writes the row and starts an empty one.
func (r *row) end() {
	fmt.Fprintf(r.page, "%s\n%s\n\n", strings.TrimRight(r.texts, " "), strings.TrimRight(r.names, " "))
	r.texts, r.names, r.used = "", "", 0
}

// payload writes the payload, and says what it is.
func (p page) payload(c cookie, payload []byte) {
	switch kindOf(payload) {
	case values:
		fmt.Fprintf(p, "%s\n\n", printable(indent(payload)))
	case sessionID:
		fmt.Fprintf(p, "%s\n\n", payload)
	default:
		fmt.Fprintf(p, "%q\n\n", payload[:min(len(payload), maxForeign)])
	}
	p.line("read", "without the secret: signing hides nothing")
	switch kindOf(payload) {
	case sessionID:
		p.line("payload", "a session ID: the values are on the server, which\nstores them under the ID's SHA-256\n%x",
			sha256.Sum256(payload))
	case foreign:
		p.line("payload", "not a session's: %d bytes that are neither a JSON object nor a session ID", len(payload))
	}
	if strings.HasPrefix(c.value, ".") {
		p.line("payload", "compressed, as the dot before it says")
	}
}

// line writes a text with its label before it.
func (p page) line(label, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+indentation)
	fmt.Fprintf(p, "%-*s%s\n", len(indentation), label, text)
}

// keys writes how many bytes of JSON each key's value takes, the largest first. It counts
// as the package's ErrTooLarge does.
func (p page) keys(object []byte) {
	sizes := members(object)
	text := "%d bytes"
	if len(sizes) > 0 {
		text += ", of which the values take"
	}
	p.line("JSON", text, len(object))
	for _, m := range sizes[:min(len(sizes), maxKeys)] {
		p.line("", "%6d  %.40q", m.size, m.name)
	}
	if more := len(sizes) - maxKeys; more > 0 {
		p.line("", "and those of %d more keys", more)
	}
}

type member struct {
	name string
	size int // bytes of its value
}

// members returns the members of a valid object, the largest first.
func members(object []byte) []member {
	var all []member
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.Token() // {
	for decoder.More() {
		name, _ := decoder.Token()
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			break
		}
		all = append(all, member{name.(string), len(value)})
	}
	slices.SortStableFunc(all, func(a, b member) int { return cmp.Compare(b.size, a.size) })
	return all
}

// indent returns an object on several lines. It leaves numbers and the order of keys as
// they are. An object that would become larger than maxIndented stays on one line.
func indent(object []byte) string {
	object = bytes.TrimSpace(object)
	var out bytes.Buffer
	size := int64(len(object)) * int64(depth(object)) // an int may have 32 bits
	if size > maxIndented || json.Indent(&out, object, "", "  ") != nil {
		return string(object)
	}
	return out.String()
}

// depth returns the maximum number of brackets that are open at one place of an object.
func depth(object []byte) int {
	open, deepest := 0, 0
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
		deepest = max(deepest, open)
	}
}

// printable replaces characters that would act on a terminal by their JSON escapes: ESC,
// the control characters from U+0080 on, and those that reverse the direction of writing.
// A JSON parser reads the result as the same text.
func printable(text string) string {
	var safe strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			safe.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&safe, `\u%04x`, unit)
		}
	}
	return safe.String()
}

// clock returns a time in UTC, to the second.
func clock(t time.Time) string {
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

// oldEpoch explains a date before 2011. Old releases of Flask used itsdangerous before
// 1.0, which counted the seconds from 2011 instead of 1970.
func oldEpoch(signedAt time.Time) string {
	epoch := time.Date(2011, time.January, 1, 0, 0, 0, 0, time.UTC)
	if !signedAt.Before(epoch) {
		return ""
	}
	signedAt = signedAt.Add(epoch.Sub(time.Unix(0, 0)))
	return "\nor, if itsdangerous before 1.0 signed it, which counted from 2011: " + clock(signedAt)
}

// age says how long ago a cookie was signed. It counts in seconds, because a timestamp
// may be more than 292 years away, which is a Duration's maximum.
func age(signedAt time.Time) string {
	seconds := time.Now().Unix() - signedAt.Unix()
	if seconds < 0 {
		return span(-seconds) + " ahead of this machine's clock"
	}
	return span(seconds) + " ago"
}

// span returns a number of seconds as days, or as hours, minutes and seconds if it is
// less than two days.
func span(seconds int64) string {
	const day = 24 * 60 * 60
	if seconds >= 2*day {
		return fmt.Sprintf("%d days", seconds/day)
	}
	return (time.Duration(seconds) * time.Second).String()
}
