package session

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxInflated is how many bytes a compressed payload may become. A few kilobytes
// of zlib can stand for many megabytes of zeros.
const maxInflated = 1 << 20

// The bookkeeping that travels in the payload among the values.
const (
	permanentKey = "_permanent" // true: the cookie outlives the browser (as in Flask)
	createdKey   = "_created"   // Unix seconds: what the absolute timeout counts from
)

// base64url is the alphabet of every part of a cookie, without padding.
var base64url = base64.RawURLEncoding.Strict()

// decode64 accepts the one text that base64url makes of some bytes. Strict
// refuses stray bits in the last letter, but every decoder of encoding/base64
// skips line ends, which make the text longer than it has to be.
func decode64(text string) ([]byte, error) {
	b, err := base64url.DecodeString(text)
	if err != nil || len(text) != base64url.EncodedLen(len(b)) {
		return nil, fmt.Errorf("%w: base64url", ErrMalformed)
	}
	return b, nil
}

// encodeValue returns v as JSON, or why there is none. HTML characters are left
// as they are: a cookie is no page, and < as \u003c would be six bytes.
func encodeValue(v any) value {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return value{err: withoutValue(err)}
	}
	if !utf8.Valid(buf.Bytes()) { // as a MarshalJSON may write it
		return value{err: errors.New("not UTF-8")}
	}
	return value{json: bytes.TrimSuffix(buf.Bytes(), []byte("\n"))}
}

// withoutValue returns what an error of encoding/json says when that is about a
// type. Other errors can quote the value, which is nothing for a log.
func withoutValue(err error) error {
	if _, ok := errors.AsType[*json.UnsupportedTypeError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		return err // NaN, an infinity or a cycle
	}
	return fmt.Errorf("%T", err)
}

// decodeValue returns the T that raw holds, and whether it holds one.
func decodeValue[T any](raw []byte) (T, bool) {
	var v, zero T
	if raw == nil || json.Unmarshal(raw, &v) != nil {
		return zero, false
	}
	return v, true
}

// encodePayload returns the values as one JSON object, its keys in order, so
// that equal sessions are equal text.
func encodePayload(values map[string]value) ([]byte, error) {
	names := slices.AppendSeq(make([]string, 0, len(values)), maps.Keys(values))
	slices.Sort(names)
	object := append(make([]byte, 0, 512), '{')
	for i, name := range names {
		if err := values[name].err; err != nil {
			return nil, fmt.Errorf("%w: key %.40q: %w", ErrValue, name, err)
		}
		if !utf8.ValidString(name) { // two such names could become one
			return nil, fmt.Errorf("%w: key %.40q: not UTF-8", ErrValue, name)
		}
		if i > 0 {
			object = append(object, ',')
		}
		object = appendName(object, name)
		object = append(object, ':')
		object = append(object, values[name].json...)
	}
	return append(object, '}'), nil
}

// appendName appends name as a JSON string. Most names are plain letters, and
// need no encoder to say so.
func appendName(dst []byte, name string) []byte {
	special := func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
	if strings.ContainsFunc(name, special) {
		return append(dst, encodeValue(name).json...)
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"')
}

// decodePayload reads the payload part of a cookie, whose signature holds. That
// does not make it a session: an old release or another program with the same
// secret may have signed it.
func decodePayload(text string) (map[string]value, error) {
	payload, err := payloadBytes(text)
	if err != nil {
		return nil, err
	}
	return decodeObject(payload)
}

// decodeObject reads values that were saved as one JSON object.
func decodeObject(payload []byte) (map[string]value, error) {
	if !json.Valid(payload) || !utf8.Valid(payload) {
		return nil, fmt.Errorf("%w: payload is not JSON", ErrMalformed)
	}
	payload = bytes.TrimLeft(payload, " \t\r\n")
	if payload[0] != '{' {
		return nil, fmt.Errorf("%w: payload is not a JSON object", ErrMalformed)
	}
	return members(payload), nil
}

// payloadBytes decodes the payload part of a cookie. Flask compresses a long
// payload and writes a dot before it.
func payloadBytes(text string) ([]byte, error) {
	text, compressed := strings.CutPrefix(text, ".")
	payload, err := decode64(text)
	if err != nil || !compressed {
		return payload, err
	}
	return inflate(payload)
}

// inflate decompresses one zlib stream that ends where b ends and holds
// maxInflated bytes at the most.
func inflate(b []byte) ([]byte, error) {
	rest := bytes.NewReader(b)
	stream, err := zlib.NewReader(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	payload, err := io.ReadAll(io.LimitReader(stream, maxInflated+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	case len(payload) > maxInflated:
		return nil, fmt.Errorf("%w: payload inflates to more than %d bytes", ErrMalformed, maxInflated)
	case rest.Len() > 0:
		return nil, fmt.Errorf("%w: bytes after the compressed payload", ErrMalformed)
	}
	return payload, nil
}

// members finds where each member of a valid JSON object begins and ends. It
// reads none of the values, which is why a session costs what is used of it. Of
// two members with one name the last counts, as in encoding/json and in Python.
func members(object []byte) map[string]value {
	values := make(map[string]value)
	var name string
	depth, start := 0, 0
	for i := 0; i < len(object); i++ {
		switch c := object[i]; c {
		case '"':
			i = stringEnd(object, i)
		case '{', '[':
			if depth++; depth == 1 {
				start = i + 1
			}
		case ':':
			if depth == 1 {
				name, start = memberName(object[start:i]), i+1
			}
		case ',', '}', ']':
			if depth == 1 && len(bytes.TrimSpace(object[start:i])) > 0 { // none in {}
				values[name] = value{json: bytes.TrimSpace(object[start:i])}
				start = i + 1
			}
			if c != ',' {
				depth--
			}
		}
	}
	return values
}

// stringEnd returns where the JSON string that begins at i ends.
func stringEnd(object []byte, i int) int {
	for i++; object[i] != '"'; i++ {
		if object[i] == '\\' {
			i++
		}
	}
	return i
}

// memberName unquotes the name of a member. Most names have nothing to unquote.
func memberName(quoted []byte) string {
	quoted = bytes.TrimSpace(quoted)
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	name, _ := decodeValue[string](quoted)
	return name
}

// tooLarge is the error for a cookie of size bytes. It says which keys make it
// large, since that is what whoever reads it has to know.
func tooLarge(size int, values map[string]value) error {
	names := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(len(values[b].json)-len(values[a].json), strings.Compare(a, b))
	})
	var keys strings.Builder
	for _, name := range names[:min(len(names), 10)] {
		fmt.Fprintf(&keys, " %.40q=%d", name, len(values[name].json))
	}
	return fmt.Errorf("%w: %d bytes of %d; bytes of JSON by key:%s; keep large values in a Store",
		ErrTooLarge, size, maxCookie, keys.String())
}

// Parts is what a cookie shows to anybody, without a secret.
type Parts struct {
	Payload   []byte    // what was signed, decompressed: a session's JSON
	SignedAt  time.Time // when it was signed
	Signature string    // as it stands in the cookie, in base64url
}

// Inspect takes a cookie's value apart. It checks no signature, so anybody may
// have made the value up; whether it holds, [Manager.Verify] says. It returns
// [ErrMalformed] for what is no payload.timestamp.signature.
func Inspect(cookie string) (Parts, error) {
	message, signature, _ := cutLast(cookie)
	encoded, timestamp, ok := cutLast(message)
	if !ok || encoded == "" || signature == "" {
		return Parts{}, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	payload, err := payloadBytes(encoded)
	if err != nil {
		return Parts{}, err
	}
	signedAt, err := decodeTimestamp(timestamp)
	if err != nil {
		return Parts{}, err
	}
	if _, err := decode64(signature); err != nil {
		return Parts{}, err
	}
	return Parts{payload, signedAt, signature}, nil
}
