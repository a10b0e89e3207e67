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
	"unicode/utf8"
)

const (
	// maxInflated is the maximum size of a decompressed payload, in bytes. A few
	// kilobytes of zlib can stand for many megabytes of zeros.
	maxInflated = 1 << 20

	// maxDepth is how deeply encoding/json reads nested arrays and objects.
	maxDepth = 10000
)

// The package's own keys, which are in the payload beside the values.
const (
	permanentKey = "_permanent" // true: the cookie outlives the browser (as in Flask)
	createdKey   = "_created"   // Unix seconds: what the absolute timeout counts from
)

// base64url is the alphabet of every part of a cookie, without padding.
var base64url = base64.RawURLEncoding.Strict()

// decode64 decodes base64url, and accepts only the text that encoding the result
// would produce. Strict refuses stray bits in the last letter, but every decoder of
// encoding/base64 skips line ends: the comparison of lengths finds those.
func decode64(text string) ([]byte, error) {
	b, err := base64url.DecodeString(text)
	if err != nil || len(text) != base64url.EncodedLen(len(b)) {
		return nil, fmt.Errorf("%w: base64url", ErrMalformed)
	}
	return b, nil
}

// encodeValue returns v as JSON, or why there is none. A pointer stands for what it
// points to.
func encodeValue(v any) value {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false) // a cookie is not a page, and < as \u003c takes six bytes
	if err := encoder.Encode(v); err != nil {
		return value{err: withoutValue(err)}
	}
	encoded := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	switch {
	case !utf8.Valid(encoded): // a MarshalJSON can write such text
		return value{err: errors.New("not UTF-8")}
	case tooDeep(encoded):
		return value{err: fmt.Errorf("nested more than %d levels deep", maxDepth-1)}
	}
	return value{json: encoded}
}

// tooDeep reports whether a value is nested so deeply that the object around it
// could not be read back.
func tooDeep(encoded []byte) bool {
	if len(encoded) < maxDepth { // each level takes a bracket
		return false
	}
	return !json.Valid(slices.Concat([]byte("["), encoded, []byte("]")))
}

// withoutValue returns an error of encoding/json that is about a type. The text of
// any other error can quote the value, which must not get into a log, so only its
// type is returned.
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

// encodePayload returns the values as one JSON object. Its keys are sorted, so that
// equal sessions have equal text.
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

// appendName appends name as a JSON string. Most names are plain ASCII, which needs
// no encoder.
func appendName(dst []byte, name string) []byte {
	special := func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
	if strings.ContainsFunc(name, special) {
		return append(dst, encodeValue(name).json...)
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"')
}

// decodePayload reads the payload of a cookie whose signature is valid. It can be
// something else than a session all the same: an old release, or another program
// with the same secret, may have signed it.
func decodePayload(encoded string) (map[string]value, error) {
	payload, err := payloadBytes(encoded)
	if err != nil {
		return nil, err
	}
	return decodeObject(payload)
}

// decodeObject reads the values in a JSON object.
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

// payloadBytes decodes the payload of a cookie. Flask compresses a long payload and
// puts a dot before it.
func payloadBytes(encoded string) ([]byte, error) {
	encoded, compressed := strings.CutPrefix(encoded, ".")
	payload, err := decode64(encoded)
	if err != nil || !compressed {
		return payload, err
	}
	return inflate(payload)
}

// inflate decompresses one zlib stream, which must end where b ends and contain at
// most maxInflated bytes.
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

// tooLarge returns the error for a cookie of size bytes. It names the largest keys,
// because the reader of the log must know what to make smaller.
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
