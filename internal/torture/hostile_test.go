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

// attack requests a page with a cookie that no browser would send. The response must not
// be a server error.
func (p *person) attack(t *testing.T, w walk, run *process) {
	conn, err := run.dial()
	if err != nil {
		t.Errorf("%s accepts no connection: %v", w.folder, err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, page, _ := strings.Cut(w.public[0], " ")
	kind := p.random.IntN(len(hostile))
	cookie := hostile[kind](w, p.cookieOf(w, run), p.random)
	p.hostile.Add(1)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", page, run.addr, cookie)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // because the server may reset the connection after a header that is too long
	}
	defer response.Body.Close()
	if response.StatusCode >= 500 {
		t.Errorf("%s, hostile cookie %d: status %d, want less than 500, to %.200q", w.folder, kind, response.StatusCode, cookie)
	}
}

// cookieOf returns a valid value: the one that the browser has, or another.
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

// hostile are the kinds of Cookie header. Each function makes one of a valid cookie's
// value.
var hostile = []func(w walk, good string, random *rand.Rand) string{
	func(w walk, good string, random *rand.Rand) string { // forged
		value := []byte(good)
		value[random.IntN(len(value))] = "AZaz09-_."[random.IntN(9)]
		return w.cookie + "=" + string(value)
	},
	func(w walk, good string, random *rand.Rand) string { // cut
		return w.cookie + "=" + good[:random.IntN(len(good))]
	},
	func(w walk, good string, random *rand.Rand) string { // larger than browsers store, up to almost net/http's maximum
		n := []int{4096, 8192, 19_000, 65_536, 1_000_000}[random.IntN(5)]
		return w.cookie + "=" + strings.Repeat("A", n)
	},
	func(w walk, good string, random *rand.Rand) string { // a bomb with a valid signature
		return w.cookie + "=" + sign(w, bomb())
	},
	func(w walk, good string, random *rand.Rand) string { // signed rubbish
		rubbish := []string{"", "null", "[1,2]", "5", "{oops", "{}{}", "\xff", `{"_created":"x"}`, strings.Repeat("[", 2000)}
		return w.cookie + "=" + sign(w, []byte(rubbish[random.IntN(len(rubbish))]))
	},
	func(w walk, good string, random *rand.Rand) string { // cookie tossing
		return fmt.Sprintf("%s=%s; %[1]s=%s; %[1]s=bad", w.cookie, good, sign(w, []byte(`{"x":1}`)))
	},
	func(w walk, good string, random *rand.Rand) string { // more cookies of one name than the package checks
		return strings.Repeat(w.cookie+"="+good+"; ", 5)
	},
	func(w walk, good string, random *rand.Rand) string { // more cookies than net/http reads
		return strings.Repeat("a=; ", 3001) + w.cookie + "=" + good
	},
	func(w walk, good string, random *rand.Rand) string { // bytes, some of which net/http does not pass on
		value := make([]byte, 1+random.IntN(100))
		for i := range value {
			value[i] = byte(random.IntN(256))
		}
		return w.cookie + "=" + strings.NewReplacer("\r", "", "\n", "").Replace(string(value))
	},
}

// sign makes a cookie's value of any payload, as the package does. Anyone who knows the
// secret can do that.
func sign(w walk, payload []byte) string {
	salt := "cookie-session." + w.cookie
	if w.flag == "-dir" {
		salt = "session-id." + w.cookie // because these programs store their sessions in files
	}
	now := binary.BigEndian.AppendUint32(nil, uint32(time.Now().Unix()))
	value := base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(now)
	if bytes.HasPrefix(payload, []byte("\x78\x9c")) {
		value = "." + value // Flask's mark of a payload that zlib compressed
	}
	return value + "." + base64.RawURLEncoding.EncodeToString(mac(mac([]byte(secret), salt), value))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// bomb returns 2,500,000 bytes, compressed so that they fit in a cookie.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	// The default level of Go 1.27 does not make it small enough.
	w, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
	fmt.Fprintf(w, `{"visits":%s}`, strings.Repeat("1", 2_500_000))
	w.Close()
	return b.Bytes()
})

// The programs must accept the signatures of this file, because they do not decompress a
// bomb whose signature is not valid.
func TestHostileCookiesHaveValidSignatures(t *testing.T) {
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
				t.Errorf("%s: Verify: %v", w.folder, err)
			}
			if len(w.cookie+value) > 4096 {
				t.Errorf("%s: name and value have %d bytes, want a maximum of 4096", w.folder, len(w.cookie+value))
			}
		}
	}
}
