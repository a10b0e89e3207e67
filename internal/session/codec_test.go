package session

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestDecodePayloadReturnsEachMember(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		want          map[string]string
	}{
		{"empty", `{}`, map[string]string{}},
		{"each kind of value", `{"a":1,"b":"x","c":true,"d":null,"e":[1,{"f":2}],"g":{"h":[]}}`,
			map[string]string{"a": "1", "b": `"x"`, "c": "true", "d": "null", "e": `[1,{"f":2}]`, "g": `{"h":[]}`}},
		{"punctuation in strings", `{"a,b":"{\"c\":[","d}":"]:,\\"}`, map[string]string{"a,b": `"{\"c\":["`, "d}": `"]:,\\"`}},
		{"white space", " {\n \"a\" : 1 , \"b\":\t[ 2 , 3 ] }\r\n", map[string]string{"a": "1", "b": "[ 2 , 3 ]"}},
		{"a name to unquote", `{"caf\u00e9 \"x\"":1}`, map[string]string{`café "x"`: "1"}},
		{"an empty name", `{"":1}`, map[string]string{"": "1"}},
		{"a name twice: the last counts", `{"a":1,"a":2}`, map[string]string{"a": "2"}},
		{"numbers that no float64 holds", `{"a":9007199254740993,"b":1180591620717411303424}`,
			map[string]string{"a": "9007199254740993", "b": "1180591620717411303424"}},
		{"Flask's tags, as they are", `{"t":{" t":[1]},"d":{" d":"x"}}`, map[string]string{"t": `{" t":[1]}`, "d": `{" d":"x"}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, text := range []string{base64url.EncodeToString([]byte(test.payload)), compress([]byte(test.payload))} {
				values, err := decodePayload(text)
				if err != nil {
					t.Fatalf("decodePayload(%s): %v, want nil", text, err)
				}
				if got := raw(values); !maps.Equal(got, test.want) {
					t.Errorf("decodePayload(%s) = %v, want %v", text, got, test.want)
				}
			}
		})
	}
}

// All of these can come with a valid signature, from an old release or from another
// program with the same secret.
func TestDecodePayloadRefusesSignedRubbish(t *testing.T) {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for name, payload := range map[string]string{
		"nothing": "", "a list": "[1,2]", "a number": "5", "null": "null", "a string": `"x"`,
		"cut short": `{"a":1`, "no JSON": "{oops", "two objects": "{}{}", "NaN": `{"a":NaN}`,
		"invalid UTF-8": "{\"a\":\"\xff\"}", "too deep": `{"a":` + deep + `}`, "a NUL": "{}\x00",
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{base64url.EncodeToString([]byte(payload)), compress([]byte(payload))} {
				if values, err := decodePayload(text); !errors.Is(err, ErrMalformed) {
					t.Errorf("decodePayload(%.40s) = %v, %v, want ErrMalformed", text, raw(values), err)
				}
			}
		})
	}
}

func TestDecodePayloadRefusesOtherSpellings(t *testing.T) {
	stream := compress([]byte(`{"a":1}`))
	zipped, err := decode64(stream[1:])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"padding": "e30=", "a line end": "e3\n0", "stray bits": "e31", "another alphabet": "e3+/",
		"no zlib":                    "." + base64url.EncodeToString([]byte("no zlib here")),
		"no bytes":                   ".",
		"a cut stream":               stream[:len(stream)-8],
		"a cut checksum":             "." + base64url.EncodeToString(zipped[:len(zipped)-1]),
		"a wrong checksum":           "." + base64url.EncodeToString(append(bytes.Clone(zipped[:len(zipped)-1]), 0xff)),
		"a byte after":               "." + base64url.EncodeToString(append(bytes.Clone(zipped), 0)),
		"two streams":                "." + base64url.EncodeToString(append(bytes.Clone(zipped), zipped...)),
		"a dot before what is plain": ".e30",
	} {
		t.Run(name, func(t *testing.T) {
			if values, err := decodePayload(text); !errors.Is(err, ErrMalformed) {
				t.Errorf("decodePayload(%q) = %v, %v, want ErrMalformed", text, raw(values), err)
			}
		})
	}
}

func TestInflatingStopsAtTheLimit(t *testing.T) {
	fill := func(size int) []byte {
		return []byte(`{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`)
	}
	if _, err := decodePayload(compress(fill(maxInflated))); err != nil {
		t.Errorf("a payload of the limit: %v, want nil", err)
	}
	if _, err := decodePayload(compress(fill(maxInflated + 1))); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte more: %v, want ErrMalformed", err)
	}
	bomb := compress(bytes.Repeat([]byte("A"), 64<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := decodePayload(bomb); !errors.Is(err, ErrMalformed) {
		t.Errorf("a bomb of 64 MiB: %v, want ErrMalformed", err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("a bomb of 64 MiB took %d bytes of memory, want at most 8 MiB", got)
	}
}

func TestEncodePayloadIsSortedAndCompact(t *testing.T) {
	values := map[string]value{
		"b": encodeValue([]int{1, 2}), "a": encodeValue("<é>&"), "C": encodeValue(nil), `"q`: encodeValue(1), "é": encodeValue(2),
	}
	got, err := encodePayload(values)
	if err != nil {
		t.Fatalf("encodePayload: %v, want nil", err)
	}
	if want := `{"\"q":1,"C":null,"a":"<é>&","b":[1,2],"é":2}`; string(got) != want {
		t.Errorf("encodePayload = %s, want %s", got, want)
	}
}

func TestEncodeValueIsExactOrAnError(t *testing.T) {
	type item struct{ ID int64 }
	got, ok := decodeValue[item](encodeValue(item{math.MaxInt64}).json)
	if !ok {
		t.Error("decodeValue found no value, want one")
	}
	if want := (item{math.MaxInt64}); got != want {
		t.Errorf("decodeValue = %v, want %v", got, want)
	}
	for name, v := range map[string]any{"a channel": make(chan int), "NaN": math.NaN(), "a function": func() {}} {
		t.Run(name, func(t *testing.T) {
			if got := encodeValue(v); got.err == nil {
				t.Errorf("encodeValue = %s, want an error", got.json)
			}
		})
	}
}

// A comma costs the same everywhere in the payload. Otherwise a payload of a megabyte
// could take minutes.
func TestDecodePayloadIsLinear(t *testing.T) {
	object := `{"a":` + strings.Repeat(" ", maxInflated/2) + "[1" + strings.Repeat(",1", maxInflated/4-10) + "]}"
	begun := time.Now()
	if _, err := decodePayload(compress([]byte(object))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a payload of a megabyte took %v, want at most 5s", took)
	}
}

func TestErrorsOfEncodeValueContainNoValue(t *testing.T) {
	for _, v := range []any{json.Number("hunter2"), json.RawMessage(`"hunter2`), json.RawMessage("\"hunter2\xff\"")} {
		err := encodeValue(v).err
		if err == nil {
			t.Fatalf("encodeValue(%s): no error, want one", v)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error contains the value: %v", err)
		}
	}
}

func TestKeysThatAreNotUTF8AreRefused(t *testing.T) {
	if _, err := encodePayload(map[string]value{"a\xff": encodeValue(1)}); !errors.Is(err, ErrValue) {
		t.Errorf("encodePayload: %v, want ErrValue", err)
	}
}

// A payload that is accepted means the same to encoding/json, and comes back the same.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1,"b":"x","c":[1,{"d":2}]}`, `{"a,b":"{\"c\":[","d}":"]:,\\"}`, ` { "a" : 1 } `, `{"a":1,"a":2}`,
		`{"\u0061":{}}`, `[1]`, `{oops`, `{}{}`, `{"":null}`, "{\"a\":\"\xff\"}", `{"\ud800":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Add([]byte("\x78\x9c\xab\xae\x05\x00\x01\x75\x00\xf9")) // {} compressed
	f.Fuzz(func(t *testing.T, payload []byte) {
		decodePayload("." + base64url.EncodeToString(payload)) // must not panic
		values, err := decodePayload(base64url.EncodeToString(payload))
		if err != nil {
			return // stricter than encoding/json about UTF-8 and null
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(payload, &want); err != nil {
			t.Fatalf("decodePayload accepts %q, encoding/json says %v", payload, err)
		}
		if len(values) != len(want) {
			t.Fatalf("%q has %d members, encoding/json says %d: %v", payload, len(values), len(want), raw(values))
		}
		for name, v := range want {
			if !bytes.Equal(values[name].json, v) {
				t.Errorf("%q: %q is %q, encoding/json says %q", payload, name, values[name].json, v)
			}
		}
		encoded, err := encodePayload(values)
		if err != nil {
			t.Fatalf("encodePayload(%v): %v, want nil", raw(values), err)
		}
		if !json.Valid(encoded) {
			t.Errorf("encodePayload(%v) = %q, want JSON", raw(values), encoded)
		}
		again, err := decodePayload(base64url.EncodeToString(encoded))
		if err != nil {
			t.Fatalf("decodePayload of %q: %v, want nil", encoded, err)
		}
		if !maps.Equal(raw(again), raw(values)) {
			t.Errorf("%v came back as %v", raw(values), raw(again))
		}
	})
}

// compress returns the payload part of a cookie that Flask compressed.
func compress(payload []byte) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	w.Write(payload)
	w.Close()
	return "." + base64url.EncodeToString(buf.Bytes())
}

// raw returns values as the JSON they are.
func raw(values map[string]value) map[string]string {
	texts := make(map[string]string)
	for name, v := range values {
		texts[name] = string(v.json)
	}
	return texts
}
