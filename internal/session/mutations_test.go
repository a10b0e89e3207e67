package session_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"math/rand/v2"
	"strings"
)

// This file makes Cookie headers for TestFlaskAgrees.

// A mutation makes another Cookie header of a cookie. other is a second cookie.
type mutation struct {
	name string
	make func(random *rand.Rand, c, other cookie) string
}

func pick[T any](random *rand.Rand, all ...T) T { return all[random.IntN(len(all))] }

// edited returns a mutation that edits the value at a random place.
func edited(name string, edit func(random *rand.Rand, value string, at int) string) mutation {
	return mutation{name, func(random *rand.Rand, c, _ cookie) string {
		value := c.value()
		return "session=" + edit(random, value, random.IntN(len(value)))
	}}
}

// resigned returns a mutation that edits a cookie before it is signed.
func resigned(name string, edit func(random *rand.Rand, c *cookie)) mutation {
	return mutation{name, func(random *rand.Rand, c, _ cookie) string {
		edit(random, &c)
		return "session=" + c.signed()
	}}
}

// payloads returns a mutation that signs a payload of its own.
func payloads(name string, all ...string) mutation {
	return resigned(name, func(random *rand.Rand, c *cookie) { c.payload = b64(pick(random, all...)) })
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func deflated(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// respelled returns base64 with other stray bits in its last letter, if there are any.
func respelled(random *rand.Rand, text string) string {
	stray := map[int]int{2: 4, 3: 2}[len(text)%4]
	if stray == 0 {
		return text
	}
	last := strings.IndexByte(letters, text[len(text)-1])
	return text[:len(text)-1] + string(letters[last>>(stray)<<(stray)|(1+random.IntN(1<<stray-1))])
}

// junk inserts four characters that base64 does not have.
func junk(random *rand.Rand, text string) string {
	at := random.IntN(len(text))
	return text[:at] + pick(random, "!!!!", "~~~~", "$%&*", "\x80\x81\x82\x83", "{{}}") + text[at:]
}

// standard returns base64url in the standard alphabet.
func standard(text string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(text) }

var mutations = []mutation{
	edited("a byte is another one", func(random *rand.Rand, value string, at int) string {
		return value[:at] + string([]byte{byte(random.IntN(256))}) + value[at+1:]
	}),
	edited("a letter is another one", func(random *rand.Rand, value string, at int) string {
		return value[:at] + string(letters[random.IntN(64)]) + value[at+1:]
	}),
	edited("a byte more", func(random *rand.Rand, value string, at int) string {
		return value[:at] + string([]byte{byte(random.IntN(256))}) + value[at:]
	}),
	edited("a byte less", func(_ *rand.Rand, value string, at int) string { return value[:at] + value[at+1:] }),
	edited("the end cut off", func(_ *rand.Rand, value string, at int) string { return value[:at] }),
	edited("the beginning cut off", func(_ *rand.Rand, value string, at int) string { return value[at:] }),
	edited("a part twice", func(_ *rand.Rand, value string, at int) string { return value[:at] + value }),
	edited("a byte after it", func(random *rand.Rand, value string, _ int) string {
		return value + string([]byte{byte(random.IntN(256))})
	}),
	edited("a space, a tab or a semicolon around it", func(random *rand.Rand, value string, _ int) string {
		return pick(random, "", " ", "\t", "  ") + value + pick(random, "", " ", "\t", ";", " ; ", ";;", "; a=b")
	}),
	edited("a dot more or less", func(random *rand.Rand, value string, at int) string {
		return pick(random, "."+value, value+".", value[:at]+"."+value[at:], strings.TrimPrefix(value, "."), strings.Replace(value, ".", "", 1))
	}),
	{"a signature with stray bits", func(random *rand.Rand, c, _ cookie) string {
		c.signature = respelled(random, c.signature)
		return "session=" + c.value()
	}},
	{"a signature with junk", func(random *rand.Rand, c, _ cookie) string {
		c.signature = junk(random, c.signature)
		return "session=" + c.value()
	}},
	{"a signature with padding", func(random *rand.Rand, c, _ cookie) string {
		return "session=" + c.value() + pick(random, "=", "==", "===", "=A", "====")
	}},
	{"a signature in the standard alphabet", func(_ *rand.Rand, c, _ cookie) string {
		c.signature = standard(c.signature)
		return "session=" + c.value()
	}},
	{"the payload of another", func(_ *rand.Rand, c, other cookie) string {
		c.payload = other.payload
		return "session=" + c.value()
	}},
	{"the timestamp of another", func(random *rand.Rand, c, _ cookie) string {
		c.timestamp = respelled(random, c.timestamp)
		return "session=" + c.value()
	}},
	{"the signature of another", func(_ *rand.Rand, c, other cookie) string {
		c.signature = other.signature
		return "session=" + c.value()
	}},
	{"signed with the other hash", func(_ *rand.Rand, c, _ cookie) string {
		c.hash = map[string]string{"sha1": "sha256", "sha256": "sha1"}[c.hash]
		return "session=" + c.signed()
	}},
	{"in quotes", func(random *rand.Rand, c, _ cookie) string {
		return "session=" + pick(random, `"`+c.value()+`"`, `"`+c.value(), c.value()+`"`, `"`+c.value()+` "`, `"\`+c.value()+`"`)
	}},
	{"another name", func(random *rand.Rand, c, _ cookie) string {
		return pick(random, "Session=", "session =", " session=", "session", "=", "sess\x00ion=", "session==") + c.value()
	}},
	{"an empty cookie", func(random *rand.Rand, c, _ cookie) string {
		return pick(random, "session=", "session=; session="+c.value(), "session="+c.value()+"; session=", "session", "", `session=""`)
	}},
	{"two valid cookies", func(random *rand.Rand, c, other cookie) string {
		return "session=" + c.value() + pick(random, "; ", ";", ", ") + "session=" + pick(random, other, c).value()
	}},
	{"a valid cookie and another one", func(random *rand.Rand, c, _ cookie) string {
		bad := c
		bad.signature = b64("another signature...")
		if random.IntN(2) == 0 {
			c, bad = bad, c
		}
		return "session=" + c.value() + "; session=" + bad.value()
	}},
	{"among other cookies", func(_ *rand.Rand, c, _ cookie) string {
		return "a=b; c; =d; session=" + c.value() + `; e="f`
	}},
	payloads("a payload without values", "null", "[]", "0", "false", `""`, "{}", "-0.0"),
	payloads("a payload that is no object", `[["a",1]]`, `["ab"]`, "1", "true", `"a"`, `[{"a":1}]`, "1.5", `[["a",1],["a",2]]`),
	payloads("a payload that is not JSON", "", " ", "{", `{"a":1}}`, `{'a':1}`, `{"a":1,}`, `{"a":01}`, `{"a":"`+"\n"+`"}`, `{"a":+1}`, `{"a":1}x`, `{"a":.5}`, "\x00"),
	payloads("a payload with NaN", `{"a":NaN}`, `{"a":Infinity}`, `{"a":[1,-Infinity]}`),
	payloads("a payload in another encoding", "\xff\xfe{\x00}\x00", "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", "\xef\xbb\xbf{\"a\":1}", "\x00{\x00\"\x00a\x00\"\x00:\x001\x00}", "{\x00\x00\x00}\x00\x00\x00"),
	payloads("a payload that is not UTF-8", "{\"a\":\"\xff\"}", "{\"\xc3\":1}", "{\"a\":\"\xed\xa0\x80\"}"),
	payloads("a payload with half a character", `{"a":"\ud800"}`, `{"\udc00":1}`, `{"a":["\ud83d\ud83d"]}`, `{"a":"\ud83d\ude00"}`),
	payloads("a payload with a name twice", `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"a":1,"\u0061":2}`),
	payloads("a payload with large numbers", `{"a":1e999}`, `{"a":-1e400}`, `{"a":1e-999}`, `{"a":1.00000000000000000001}`, `{"a":`+strings.Repeat("1", 400)+`}`, `{"a":-0}`, `{"a":-0.0}`, `{"a":100000000000000000000}`),
	payloads("a payload with white space", " {\"a\":1}", "{\"a\" : 1}\n", "\t{ }\r\n", "\v{\"a\":1}", "\u00a0{}", "{\"a\":1}\x00"),
	payloads("a payload with Flask's types", `{"a":{" t":[1,2]}}`, `{"a":{" b":"AAEC"}}`, `{"a":{" u":"00000000000000000000000000000001"}}`, `{"a":{" d":"Thu, 01 Jan 1970 00:00:00 GMT"}}`, `{"a":{" m":"<b>"}}`, `{"a":{" di":{" t__":1}}}`, `{"a":{" u":1}}`, `{"a":{" b":"A"}}`, `{" t":[1,2]}`, `{" t":[["a",1]]}`, `{" x":1}`, `{" di":{" b__":1}}`),
	payloads("a payload with our own names", `{"_permanent":true}`, `{"_permanent":false,"a":1}`, `{"_permanent":1}`, `{"_permanent":"yes","a":1}`, `{"_permanent":null}`, `{"_permanent":[]}`, `{"_created":1}`, `{"_created":1699999999,"a":1}`, `{"_created":"x"}`, `{"_fresh":true}`),
	payloads("a deep payload", `{"a":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`, `{"a":`+strings.Repeat("[", 1400)+strings.Repeat("]", 1400)+`}`),
	resigned("a payload with stray bits", func(random *rand.Rand, c *cookie) { c.payload = respelled(random, c.payload) }),
	resigned("a payload with padding", func(random *rand.Rand, c *cookie) { c.payload += pick(random, "=", "==", "===", "====") }),
	resigned("a payload with junk", func(random *rand.Rand, c *cookie) { c.payload = junk(random, c.payload) }),
	resigned("a payload in the standard alphabet", func(_ *rand.Rand, c *cookie) { c.payload = standard(c.payload) }),
	resigned("no payload", func(random *rand.Rand, c *cookie) { c.payload = pick(random, "", ".", "..", "...", "A") }),
	resigned("a payload with a letter more or less", func(random *rand.Rand, c *cookie) {
		at := random.IntN(len(c.payload))
		c.payload = c.payload[:at] + pick(random, "", "A", "AAAA") + c.payload[min(at+random.IntN(2), len(c.payload)):]
	}),
	resigned("compressed or not", func(_ *rand.Rand, c *cookie) {
		if payload, compressed := strings.CutPrefix(c.payload, "."); compressed {
			c.payload = payload
		} else {
			c.payload = "." + c.payload
		}
	}),
	resigned("compressed here", func(random *rand.Rand, c *cookie) {
		c.payload = "." + b64(deflated(pick(random, `{"a":1}`, `{"a":"`+strings.Repeat("long", 500)+`"}`, "{}", "", "null")))
	}),
	resigned("compressed, and damaged", func(random *rand.Rand, c *cookie) {
		stream := deflated(`{"a":"` + strings.Repeat("long", 100) + `"}`)
		at := random.IntN(len(stream))
		c.payload = "." + b64(pick(random, stream[:at], stream[at:], stream[:at]+"x"+stream[at+1:]))
	}),
	resigned("compressed, and more after it", func(random *rand.Rand, c *cookie) {
		c.payload = "." + b64(deflated(`{"a":1}`)+pick(random, "x", "\x00\x00", deflated(`{"a":1}`), strings.Repeat("y", 100)))
	}),
	resigned("compressed in another way", func(random *rand.Rand, c *cookie) {
		stream := deflated(`{"a":1}`)
		c.payload = pick(random, "."+b64(gzipped(`{"a":1}`)), "."+b64(stream[2:len(stream)-4]), ".."+b64(stream), "."+b64(deflated(stream)))
	}),
	resigned("compressed, and large", func(random *rand.Rand, c *cookie) {
		const most, rest = 1 << 20, len(`{"a":""}`)                              // bytes
		size := pick(random, most+1, most+1, most, 5000, 5000, 5000, 5000, 5000) // few that are opened, because they take long
		c.payload = "." + b64(deflated(`{"a":"`+strings.Repeat("a", size-rest)+`"}`))
	}),
	resigned("a large cookie", func(random *rand.Rand, c *cookie) {
		c.payload = b64(`{"a":"` + strings.Repeat("a", 2900+random.IntN(300)) + `"}`)
	}),
	resigned("a timestamp with zero bytes", func(random *rand.Rand, c *cookie) {
		c.timestamp = b64(strings.Repeat("\x00", 1+random.IntN(5)) + string(binarySeconds(signedAt)))
	}),
	resigned("another timestamp", func(random *rand.Rand, c *cookie) {
		seconds := pick[uint64](random, 1, 1<<32, 1<<40-1, 1<<40, 253402300799, 253402300800, 1<<63-1, 1<<63, 1<<64-1, signedAt-lifetime, signedAt+1, signedAt-1)
		c.timestamp = b64(string(binarySeconds(seconds)))
	}),
	resigned("a timestamp in another spelling", func(random *rand.Rand, c *cookie) {
		c.timestamp = pick(random, respelled(random, c.timestamp), c.timestamp+"=", c.timestamp+"==", junk(random, c.timestamp), standard(c.timestamp))
	}),
	resigned("a timestamp that is none", func(random *rand.Rand, c *cookie) {
		c.timestamp = pick(random, "", "A", "=", b64("123456789"), "!!!!", b64("\x00"))
	}),
	{"a message without a dot", func(_ *rand.Rand, c, _ cookie) string {
		return "session=" + seal(hashes[c.hash], c.payload)
	}},
}

func binarySeconds(seconds uint64) []byte {
	var b []byte
	for ; seconds > 0; seconds >>= 8 {
		b = append([]byte{byte(seconds)}, b...)
	}
	return b
}
