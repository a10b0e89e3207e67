package torture

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// attack asks for a page with a cookie that no browser would send. Whatever the
// answer is, it is no failure of the server's.
func (p *person) attack(t *testing.T, w walk, run *process) {
	conn, err := run.dial()
	if err != nil {
		t.Errorf("%s takes no connection: %v", w.folder, err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, page, _ := strings.Cut(w.public[0], " ")
	kind := p.random.IntN(len(hostile))
	cookie := hostile[kind](w, p.cookieOf(w, run), p.random)
	p.hostile.Add(1)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", page, run.addr, cookie)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // to a header that is too long the server may answer with a reset
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 500 {
		t.Errorf("%s answers %d to hostile cookie %d, %.200q", w.folder, answer.StatusCode, kind, cookie)
	}
}

// cookieOf returns a good value: the one that the browser has, or another.
func (p *person) cookieOf(w walk, run *process) string {
	at, err := url.Parse(run.url())
	if err == nil {
		for _, c := range p.client.Jar.Cookies(at) {
			if c.Name == w.cookie {
				return c.Value
			}
		}
	}
	return sign(w, []byte(`{}`))
}

// hostile are the kinds of Cookie header, each made of a good cookie's value.
var hostile = []func(w walk, good string, random *rand.Rand) string{
	func(w walk, good string, random *rand.Rand) string { // forged
		value := []byte(good)
		value[random.IntN(len(value))] = "AZaz09-_."[random.IntN(9)]
		return w.cookie + "=" + string(value)
	},
	func(w walk, good string, random *rand.Rand) string { // cut
		return w.cookie + "=" + good[:random.IntN(len(good))]
	},
	func(w walk, good string, random *rand.Rand) string { // over what a browser keeps, to almost what net/http takes
		n := []int{4096, 8192, 19_000, 65_536, 1_000_000}[random.IntN(5)]
		return w.cookie + "=" + strings.Repeat("A", n)
	},
	func(w walk, good string, random *rand.Rand) string { // a bomb with a good signature
		return w.cookie + "=" + sign(w, bomb())
	},
	func(w walk, good string, random *rand.Rand) string { // signed rubbish
		rubbish := []string{"", "null", "[1,2]", "5", "{oops", "{}{}", "\xff", `{"_created":"x"}`, strings.Repeat("[", 2000)}
		return w.cookie + "=" + sign(w, []byte(rubbish[random.IntN(len(rubbish))]))
	},
	func(w walk, good string, random *rand.Rand) string { // cookie tossing
		return fmt.Sprintf("%s=%s; %[1]s=%s; %[1]s=bad", w.cookie, good, sign(w, []byte(`{"x":1}`)))
	},
	func(w walk, good string, random *rand.Rand) string { // more of them than anybody checks
		return strings.Repeat(w.cookie+"="+good+"; ", 5)
	},
	func(w walk, good string, random *rand.Rand) string { // more cookies than net/http reads
		return strings.Repeat("a=; ", 3001) + w.cookie + "=" + good
	},
	func(w walk, good string, random *rand.Rand) string { // binary, that net/http passes on or not
		value := make([]byte, 1+random.IntN(100))
		for i := range value {
			value[i] = byte(random.IntN(256))
		}
		return w.cookie + "=" + strings.NewReplacer("\r", "", "\n", "").Replace(string(value))
	},
}

// sign makes a cookie's value as the package does, of any payload. Whoever knows the
// secret can.
func sign(w walk, payload []byte) string {
	salt := "cookie-session." + w.cookie
	if w.flag == "-dir" {
		salt = "session-id." + w.cookie // these keep their sessions in files
	}
	now := binary.BigEndian.AppendUint32(nil, uint32(time.Now().Unix()))
	value := base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(now)
	if bytes.HasPrefix(payload, []byte("\x78\x9c")) {
		value = "." + value // zlib made it, and Flask marks that so
	}
	return value + "." + base64.RawURLEncoding.EncodeToString(mac(mac([]byte(secret), salt), value))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// bomb is 2,500,000 bytes that fit into a cookie.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&b, zlib.BestCompression) // Go 1.27's default does not make it small enough
	fmt.Fprintf(w, `{"visits":%s}`, strings.Repeat("1", 2_500_000))
	w.Close()
	return b.Bytes()
})

// What is signed here must be what the programs accept: else the bomb is never lit.
func TestHostileCookiesHaveGoodSignatures(t *testing.T) {
	for _, payload := range [][]byte{[]byte(`{}`), bomb()} {
		for _, w := range walks {
			opts := &session.Options{Name: w.cookie, Secure: w.https}
			if w.flag == "-dir" {
				opts.Store = memstore.New()
			}
			m, err := session.New([]byte(secret), opts)
			if err != nil {
				t.Fatal(err)
			}
			value := sign(w, payload)
			if err := m.Verify(value); err != nil {
				t.Errorf("%s: %v", w.folder, err)
			}
			if len(w.cookie+value) > 4096 {
				t.Errorf("%s: %d bytes are too many to be looked at", w.folder, len(value))
			}
		}
	}
}
