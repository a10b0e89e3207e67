package session

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// members does what json.Unmarshal does with a map[string]json.RawMessage, for every
// valid JSON object. decodeObject refuses everything else before it calls members.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{ }`, `{"a":1}`, ` { "a" : 1 , "b" : [ 2 , {"c":3} ] } `, "\n{\t\"a\"\r\n:\nnull\t}\n",
		`{"a":-1.5e+3,"b":true,"c":false,"d":null,"e":""}`, `{"a":[],"b":{},"c":[[[]]],"d":{"e":{"f":{}}}}`,
		`{"a,b":"{\"c\":[","d}":"]:,\\"}`, `{"a":"\\","b":"\"","c":"\\\""}`, `{"\\":1,"\"":2}`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"":0}`, `{"caf\u00e9 \"x\"":1}`, `{"\ud83d\ude00":1,"\ud800":2}`,
		`{"a":9007199254740993,"b":1180591620717411303424}`, `{"é":"ü","\u2028":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		if !utf8.Valid(object) {
			return // decodeObject refuses it
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(object, &want); err != nil {
			return // it is not a JSON object
		}
		if want == nil {
			return // it is null
		}
		got := members(object)
		if len(got) != len(want) {
			t.Fatalf("members(%q) has %d members, encoding/json %d: %v", object, len(got), len(want), raw(got))
		}
		for name, v := range want {
			if !bytes.Equal(got[name].json, v) {
				t.Errorf("members(%q)[%q] = %q, encoding/json has %q", object, name, got[name].json, v)
			}
		}
	})
}
