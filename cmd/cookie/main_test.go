package main

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

const (
	secret    = "0123456789abcdef0123456789abcdef"
	oldSecret = "fedcba9876543210fedcba9876543210"
	// visits3 is {"visits":3} of 2023-11-14, signed with secret for a cookie named
	// session. counter3 is the same for a cookie named counter.
	visits3  = "eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w"
	counter3 = "eyJ2aXNpdHMiOjN9.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI"
)

func TestShowsEverythingAboutACookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1700000000, 0).Add(73 * time.Hour)))
		got := call(t, env{"SESSION_SECRET": secret}, "", visits3)
		got.must(t, 0, `
eyJ2aXNpdHMiOjN9 . ZVPxAA    . XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w
payload            timestamp   signature

{
  "visits": 3
}

read       without the secret: signing hides nothing
signed     2023-11-14 22:13:20 UTC, 3 days ago
size       74 of 4096 bytes, name and value
JSON       12 bytes, of which the values take
                1  "visits"
signature  valid, with SESSION_SECRET and the salt "cookie-session"
`[1:])
	})
}

func TestReadsWithoutTheSecret(t *testing.T) {
	got := call(t, nil, "", visits3)
	got.has(t, 0, `"visits": 3`, "read       without the secret", "signature  not checked, because SESSION_SECRET is not set")
}

func TestLongValueIsWrapped(t *testing.T) {
	value := sign(t, session.Options{Name: "long"}, map[string]any{"text": strings.Repeat("0123456789", 9)})
	parts := strings.Split(value, ".")
	got := call(t, nil, "", "long="+value)
	got.has(t, 0, fmt.Sprintf("%s\n%s . %s\npayload %s timestamp\n\n. %s\n  signature\n\n{",
		parts[0][:80], parts[0][80:], parts[1], strings.Repeat(" ", len(parts[0])-80-len("payload")+1), parts[2]))
}

// No row is longer than the terminal is wide, and the rows together are the value.
func TestDrawingFitsAnyWidth(t *testing.T) {
	long := "." + strings.Repeat("x", 700) + ".ZVPxAA." + strings.Repeat("y", 43)
	for _, value := range []string{visits3, long, "a.b.c"} {
		for width := 20; width <= 500; width++ {
			var out strings.Builder
			page{&out, width, false}.draw(value)
			var whole strings.Builder
			for line := range strings.Lines(out.String()) {
				if len(line)-1 > width {
					t.Errorf("a row of %d, want a maximum of %d: %q", len(line)-1, width, line)
				}
				for _, name := range []string{"payload", "timestamp", "signature", " . ", ". "} {
					line = strings.ReplaceAll(line, name, strings.Trim(strings.Repeat(".", strings.Count(name, ".")), " "))
				}
				whole.WriteString(strings.Join(strings.Fields(line), ""))
			}
			if whole.String() != value {
				t.Fatalf("width %d: drawn %q, want %q", width, whole.String(), value)
			}
		}
	}
}

func TestWidthIsTheTerminals(t *testing.T) {
	for _, test := range []struct {
		columns string
		want    int
	}{{"", 80}, {"132", 132}, {"wide", 80}, {"-1", 80}, {"0", 80}, {"19", 80}, {"20", 20}, {"501", 80}, {"99999999999999999999", 80}} {
		if got := columns(env{"COLUMNS": test.columns}.get); got != test.want {
			t.Errorf("COLUMNS=%s is %d, want %d", test.columns, got, test.want)
		}
	}
}

func TestSignatureIsValid(t *testing.T) {
	server := sign(t, session.Options{Store: memstore.New()}, map[string]any{"a": 1})
	named := sign(t, session.Options{Name: "database", Store: memstore.New()}, map[string]any{"a": 1})
	host := sign(t, session.Options{Name: "__Host-security", Secure: true}, map[string]any{"a": 1})
	stock := sign(t, session.Options{Hash: sha1.New}, map[string]any{"a": 1})
	shop := sign(t, session.Options{Name: "shop", Salt: "cookie-session"}, map[string]any{"a": 1})
	for _, test := range []struct {
		name string
		env  env
		args []string
		want string
	}{
		{"named session", env{"SESSION_SECRET": secret}, []string{visits3}, `SESSION_SECRET and the salt "cookie-session"`},
		{"another name", env{"SESSION_SECRET": secret}, []string{"-name", "counter", counter3}, `the salt "cookie-session.counter"`},
		{"a name with a prefix", env{"SESSION_SECRET": secret}, []string{"-name", "__Host-security", host}, `"cookie-session.__Host-security"`},
		{"with the old secret", env{"SESSION_SECRET": strings.Repeat("x", 32), "SESSION_SECRET_OLD": secret}, []string{visits3}, "valid, with SESSION_SECRET_OLD"},
		{"with the old secret alone", env{"SESSION_SECRET_OLD": secret}, []string{visits3}, "valid, with SESSION_SECRET_OLD"},
		{"with another old secret", env{"SESSION_SECRET": secret, "SESSION_SECRET_OLD": oldSecret}, []string{visits3}, "valid, with SESSION_SECRET and"},
		{"server-side", env{"SESSION_SECRET": secret}, []string{server}, `the salt "session-id"`},
		{"server-side with a name", env{"SESSION_SECRET": secret}, []string{"-name", "database", named}, `the salt "session-id.database"`},
		{"a stock Flask's", env{"SESSION_SECRET": secret}, []string{"-sha1", stock}, `the salt "cookie-session"`},
		{"a Flask's with another name", env{"SESSION_SECRET": secret}, []string{"-name", "shop", shop}, `the salt "cookie-session"
           of Flask, which uses it for every name: here, set Options.Salt to it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			call(t, test.env, "", test.args...).has(t, 0, "signature  valid, with ", test.want)
		})
	}
}

func TestSignatureThatIsNotValidIsExplained(t *testing.T) {
	stock := sign(t, session.Options{Hash: sha1.New}, map[string]any{"a": 1})
	large := encode([]byte(`{"a":"`+strings.Repeat("x", 4000)+`"}`)) + ".ZVPxAA." + strings.Repeat("A", 43)
	id := sign(t, session.Options{Store: memstore.New()}, map[string]any{"a": 1})
	changed := strings.Replace(visits3, "eyJ2aXNpdHMiOjN9", "eyJ2aXNpdHMiOjR9", 1)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"a changed payload", []string{changed}, "the cookie was changed"},
		{"another name", []string{"-name", "types", counter3}, `not valid for a cookie named "types"`},
		{"a name that was not given", []string{counter3}, "for another name (-name)"},
		{"another name, server-side", []string{"-name", "x", id}, "for another name (-name)"},
		{"SHA-1", []string{stock}, "it has 20 bytes, want 32: try -sha1"},
		{"not SHA-1", []string{"-sha1", visits3}, "it has 32 bytes, want 20: try without -sha1"},
		{"no hash at all", []string{"eyJ2aXNpdHMiOjN9.ZVPxAA.AAAA"}, "it has 3 bytes, want 32\n"},
		{"larger than browsers keep", []string{large}, "not valid: session: cookie is too large: a value of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			call(t, env{"SESSION_SECRET": secret}, "", test.args...).has(t, 1, "signature  not valid", test.want)
		})
	}
	call(t, env{"SESSION_SECRET": oldSecret}, "", visits3).has(t, 1, "another secret")
}

// The session is shown too, because anyone can read a cookie without checking it.
func TestCookieThatIsNotValidIsRead(t *testing.T) {
	call(t, env{"SESSION_SECRET": oldSecret}, "", visits3).has(t, 1, `"visits": 3`, "2023-11-14")
}

func TestAgeIsShownAndNotJudged(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for _, test := range []struct {
		now  time.Time
		want string
	}{
		{at, "0s ago"},
		{at.Add(time.Hour + 2*time.Second), "1h0m2s ago"},
		{at.Add(47 * time.Hour), "47h0m0s ago"},
		{at.Add(49 * time.Hour), "2 days ago"},
		{at.Add(-5 * time.Second), "5s ahead of this machine's clock"},
		{at.Add(-100 * 24 * time.Hour), "100 days ahead of this machine's clock"},
		{at.Add(9 * 365 * 24 * time.Hour), "3285 days ago"},
	} {
		t.Run(test.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(test.now))
				call(t, env{"SESSION_SECRET": secret}, "", visits3).has(t, 0, "signed     2023-11-14 22:13:20 UTC, "+test.want+"\n", "valid")
			})
		})
	}
	// The last second that a timestamp can name is too far away for a Duration.
	last := encode([]byte("{}")) + "." + encode(bytes.Repeat([]byte{0xff}, 5)) + ".AAAA"
	synctest.Test(t, func(t *testing.T) {
		call(t, nil, "", last).has(t, 0, "36812-02-20 00:36:15 UTC, 12714872 days ahead")
	})
}

func TestServerSideSessionIsRecognised(t *testing.T) {
	const id = "PECLTY6MYN2IB4372EYWMP6TK6"
	got := call(t, nil, "", encode([]byte(id))+".awNt4A.AAAA")
	got.has(t, 0, "\n"+id+"\n", "payload    a session ID", "f0864f0428363e18f4d73732b830e5a13330e876e6781120734e872256f89f3d")
	got.hasNot(t, "JSON")
}

func TestCompressedPayloadIsRead(t *testing.T) {
	text := strings.Repeat("spam ", 2000)
	got := call(t, nil, "", compress(`{"text":"`+text+`"}`)+".ZVPxAA.AAAA")
	got.has(t, 0, `"text": "`+text+`"`, "compressed, as the dot before it says", "JSON       10011 bytes", " 10002  \"text\"")
}

// Flask made the cookies in this file. The README.md of its folder says how.
func TestFlaskCookiesAreValid(t *testing.T) {
	data, err := os.ReadFile("../../internal/session/testdata/flask_cookies.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Secret, Digest, Cookie string
		Session                any
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("the file has no cookies")
	}
	for _, v := range vectors {
		args := []string{v.Cookie}
		if v.Digest == "sha1" {
			args = []string{"-sha1", v.Cookie}
		}
		got := call(t, env{"SESSION_SECRET": v.Secret}, "", args...)
		got.has(t, 0, "signature  valid")
		if shown := got.json(t); !reflect.DeepEqual(shown, v.Session) {
			t.Errorf("shows %v, want %v", shown, v.Session)
		}
	}
}

func TestEachKeysSizeIsShownTheLargestFirst(t *testing.T) {
	value := encode([]byte(`{"b":12345,"a":"four five","c":[1, 2], "d":""}`)) + ".ZVPxAA.AAAA"
	got := call(t, nil, "", value)
	got.has(t, 0, fmt.Sprintf("size       %d of 4096 bytes", len("session"+value)), `JSON       46 bytes, of which the values take
               11  "a"
                6  "c"
                5  "b"
                2  "d"
signature`)

	var many []string
	for i := range 25 {
		many = append(many, fmt.Sprintf(`"%s%d":1`, strings.Repeat("k", 50), i))
	}
	got = call(t, nil, "", encode([]byte("{"+strings.Join(many, ",")+"}"))+".ZVPxAA.AAAA")
	got.has(t, 0, "1  \""+strings.Repeat("k", 40)+"\"\n", "and those of 5 more keys")
	if n := strings.Count(got.stdout, "     1  \"k"); n != 20 {
		t.Errorf("%d keys, want 20", n)
	}
}

func TestNumbersAndOrderStayAsTheyAre(t *testing.T) {
	object := `{"z":123456789012345678901234567890,"a":1.10,"z":-0,"m":1E+400,"e":"\u00e9\/"}`
	got := call(t, nil, "", encode([]byte(object))+".ZVPxAA.AAAA")
	got.has(t, 0, `{
  "z": 123456789012345678901234567890,
  "a": 1.10,
  "z": -0,
  "m": 1E+400,
  "e": "\u00e9\/"
}
`)
}

func TestEmptySessionIsASession(t *testing.T) {
	call(t, nil, "", "e30.ZVPxAA.AAAA").has(t, 0, "\n{}\n", "JSON       2 bytes\nsignature")
}

func TestCookieIsFoundInAnyHeaderLine(t *testing.T) {
	for _, text := range []string{
		"counter=" + counter3,
		"counter=" + counter3 + "; Path=/; HttpOnly; SameSite=Lax",
		"Set-Cookie: counter=" + counter3 + "; Path=/; HttpOnly; SameSite=Lax",
		"set-cookie:counter=" + counter3,
		"< Set-Cookie: counter=" + counter3 + "\r\n",
		"    Set-Cookie: counter=" + counter3,
		"Cookie: counter=" + counter3,
		"> Cookie: theme=dark; counter=" + counter3 + "; _ga=GA1.2.3",
		"Cookie: bad name=1; counter=" + counter3 + "; wrong=\"quo\"te",
		"Cookie: counter=" + counter3 + "; counter=" + counter3,
		"HTTP/1.1 200 OK\r\nVary: Cookie\r\nSet-Cookie: theme=dark\r\nSet-Cookie: counter=" + counter3 + "\r\nDate: Sun, 22 Nov 2026 23:58:09 GMT\r\n\r\n<p>counter: 3</p>",
	} {
		for _, named := range [][]string{nil, {"-name", "counter"}} {
			call(t, env{"SESSION_SECRET": secret}, "", append(named, text)...).has(t, 0, "signature  valid")
			call(t, env{"SESSION_SECRET": secret}, text, named...).has(t, 0, "signature  valid")
		}
	}
	call(t, env{"SESSION_SECRET": secret}, "\n "+visits3+"\r\n").has(t, 0, "signature  valid")
}

func TestNameChoosesAmongCookies(t *testing.T) {
	line := "Cookie: a=" + counter3 + "; session=" + visits3 + "; theme=dark; a=old"
	call(t, env{"SESSION_SECRET": secret}, "", "-name", "session", line).has(t, 0, "signature  valid")
	call(t, nil, "", "-name", "a", line).has(t, 0, `"visits": 3`)
	call(t, nil, "", "-name", "b", line).fails(t, 1, `cookie: there is no cookie named "b"`)
	call(t, nil, "", "-name", "theme", line).fails(t, 1, "cookie: session: malformed cookie: not three parts")
	call(t, nil, "", line).fails(t, 2, `cookie: usage: there are 2 cookies ("a", "session"); say which with -name, or give one value`)
	call(t, nil, "", "Cookie: x=1; y=2").fails(t, 2, `there are 2 cookies ("x", "y")`)
	call(t, nil, "", "Cookie: a="+visits3+"; a="+counter3).fails(t, 2, `there are 2 cookies ("a", "a")`)
}

func TestCookieThatIsNotASessionsIsRefused(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"hello", "not three parts"},
		{"a.b", "not three parts"},
		{"..", "not three parts"},
		{"eyJ2aXNpdHMiOjN9!.ZVPxAA.AAAA", "base64url"},
		{"eyJ2aXNpdHMiOjN9.ZVPxAA.AAAA.", "not three parts"},
		{visits3[:20] + "\n" + visits3[20:], "malformed cookie"},
		{`"` + visits3 + `"`, "malformed cookie"},
		{`Cookie: session="` + visits3 + `"`, "malformed cookie"},
		{".AAAA.ZVPxAA.AAAA", "zlib"},
		{compress(strings.Repeat(" ", 1<<20)+"{}") + ".ZVPxAA.AAAA", "inflates to more than"},
		{"Set-Cookie: counter=; Path=/; Max-Age=0", "the cookie is empty: a server deletes a cookie this way"},
		{strings.Repeat("x", maxInput+1), "more than 65536 bytes"},
	} {
		call(t, nil, "", test.text).fails(t, 1, test.want)
		call(t, nil, test.text).fails(t, 1, test.want)
	}
	for _, payload := range []string{"[1]", "3", `"x"`, "null", "{oops", "{}{}", " ", "{\"a\":\"\xff\"}", strings.Repeat(`{"a":`, 11_000) + "1" + strings.Repeat("}", 11_000)} {
		call(t, nil, "", compress(payload)+".ZVPxAA.AAAA").has(t, 1, "payload    not a session's: ", "2023-11-14")
	}
}

func TestWrongCallsAreStatus2(t *testing.T) {
	call(t, nil, "").fails(t, 2, "cookie: usage: there is no cookie")
	call(t, nil, "", "Cookie: ").fails(t, 2, "there is no cookie")
	call(t, nil, "", visits3, visits3).fails(t, 2, "there are 2 arguments, want one (put it in quotes)")
	call(t, nil, "", "-sha256", visits3).fails(t, 2, "flag provided but not defined: -sha256")
	call(t, nil, "", "-name").fails(t, 2, "flag needs an argument")
	call(t, env{"SESSION_SECRET": secret}, "", "-name", "a b", visits3).fails(t, 2, "the cookie is not valid")
}

// Many published secrets are short. The command checks a cookie with a short secret, and
// warns of it.
func TestShortSecretChecksTheCookieWithAWarning(t *testing.T) {
	const short = "your_secure_secret_key" // the one of a Flask tutorial
	const warning = " has 22 bytes and can be guessed; a secret must have at least 32 random bytes"
	signed := signWith(short, "cookie-session", "eyJ2aXNpdHMiOjN9.ZVPxAA")
	call(t, env{"SESSION_SECRET": short}, "", signed).has(t, 0, `"visits": 3`, "valid, with SESSION_SECRET", "warning: SESSION_SECRET"+warning)
	call(t, env{"SESSION_SECRET_OLD": short}, "", signed).has(t, 0, "valid, with SESSION_SECRET_OLD", "warning: SESSION_SECRET_OLD"+warning)
	call(t, env{"SESSION_SECRET": short}, "", visits3).has(t, 1, "visits", "not valid", "warning: SESSION_SECRET"+warning)
	call(t, env{"SESSION_SECRET": "hunter2"}, "", visits3).has(t, 1, "visits", "not valid", "has 7 bytes")
	if got := call(t, env{"SESSION_SECRET": secret}, "", visits3); strings.Contains(got.stdout, "warning") {
		t.Errorf("a secret of 32 bytes, want no warning: %s", got.stdout)
	}
}

// signWith signs as Flask does, without the package: the salt's HMAC is the key.
func signWith(secret, salt, message string) string {
	sum := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	return message + "." + base64.RawURLEncoding.EncodeToString(sum(sum([]byte(secret), salt), message))
}

// itsdangerous before 1.0 counted from 2011. So its cookie of 2013 seems to be of 1972.
func TestDateOfAnOldItsdangerousIsExplained(t *testing.T) {
	const value = "eyJ2aXNpdHMiOjN9.BLDW6w.AAAA" // 78,698,219 seconds
	call(t, nil, "", value).has(t, 0, "1972-06-29", "counted from 2011: 2013-06-29")
	if got := call(t, nil, "", visits3); strings.Contains(got.stdout, "2011") {
		t.Errorf("a cookie of 2023, want no word of 2011: %s", got.stdout)
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	call(t, nil, "", "-h").has(t, 0, "usage: cookie", "-name NAME", "-sha1")
}

func TestInputThatFailsIsReported(t *testing.T) {
	var stdout, stderr strings.Builder
	status := run(nil, env{}.get, failing{}, &stdout, &stderr)
	outcome{status, stdout.String(), stderr.String()}.fails(t, 1, "pulled")
}

// A terminal obeys the control characters that it is sent. So the command must not write
// a cookie's.
func TestHostileCookieDrivesNoTerminal(t *testing.T) {
	hostile := "\x7f\u0080\u0085\u0090\u009b31m\u009c\u00a0\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ufff9\U000e0001\U0010ffff"
	escaped := `\u001b]0;owned\u0007\u0000`
	want := map[string]any{hostile + "\x1b]0;owned\a\x00": hostile, "b": []any{hostile + "\x1b]0;owned\a\x00"}}
	payload := `{"` + hostile + escaped + `":"` + hostile + `","b":["` + hostile + escaped + `"]}`
	for _, value := range []string{encode([]byte(payload)), compress(payload)} {
		got := call(t, nil, "", value+".ZVPxAA.AAAA")
		got.has(t, 0, `\u009b31m`, `\udb40\udc01`)
		if shown := got.json(t); !reflect.DeepEqual(shown, any(want)) {
			t.Errorf("shows %q, want %q", shown, want)
		}
	}
	var everyByte []byte
	for b := range 256 {
		everyByte = append(everyByte, byte(b))
	}
	call(t, nil, "", encode(everyByte)+".ZVPxAA.AAAA").has(t, 1, "not a session's: 256 bytes")
	for _, text := range []string{string(everyByte), hostile, "-" + hostile, "\x1b[2J", "Cookie: \x1b[2J=1; \u009b=2", "-name=\u009b31m"} {
		if got := call(t, nil, "", text); got.status == 0 {
			t.Errorf("%q: status 0, want another", text)
		}
		call(t, env{"SESSION_SECRET": secret}, "", "-name", text, visits3)
	}
}

// A few hundred compressed bytes can become thousands of brackets. When each bracket
// indents what is in it, the output becomes very large.
func TestDeepNestingDoesNotFloodTheTerminal(t *testing.T) {
	const depth = 9_000
	payload := `{"a":` + strings.Repeat("[", depth) + strings.Repeat("0,", 400_000) + "0" + strings.Repeat("]", depth) + "}"
	value := compress(payload) + ".ZVPxAA.AAAA"
	if len(value) > 4096 {
		t.Fatalf("the value has %d bytes, want no more than a cookie's 4096", len(value))
	}
	got := call(t, nil, "", value)
	got.has(t, 0, "\n"+payload+"\n")
	if len(got.stdout) > 2<<20 {
		t.Errorf("%d bytes of output, want a maximum of %d", len(got.stdout), 2<<20)
	}
}

func TestColourOnATerminalOnly(t *testing.T) {
	terminal, err := os.Open(os.DevNull) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, test := range []struct {
		name string
		out  any
		env  env
		want bool
	}{
		{"terminal", terminal, env{"TERM": "xterm"}, true},
		{"NO_COLOR is empty", terminal, env{"TERM": "xterm", "NO_COLOR": ""}, true},
		{"NO_COLOR", terminal, env{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"dumb", terminal, env{"TERM": "dumb"}, false},
		{"no TERM", terminal, env{}, false},
		{"file", file, env{"TERM": "xterm"}, false},
		{"pipe", new(bytes.Buffer), env{"TERM": "xterm"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := wantColour(test.out.(interface{ Write([]byte) (int, error) }), test.env.get); got != test.want {
				t.Errorf("colour %v, want %v", got, test.want)
			}
		})
	}
}

func TestColourChangesNothingElse(t *testing.T) {
	parts, err := session.Inspect(visits3)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []verdict{{unchecked, "?"}, {valid, "valid"}, {notValid, "not valid"}} {
		var colourless, colourful strings.Builder
		page{&colourless, 80, false}.show(cookie{"session", visits3}, parts, v)
		page{&colourful, 80, true}.show(cookie{"session", visits3}, parts, v)
		stripped := colourful.String()
		for _, colour := range []string{red, green, yellow, magenta, cyan, plain} {
			stripped = strings.ReplaceAll(stripped, colour, "")
		}
		if stripped != colourless.String() {
			t.Errorf("with colour:\n%s\nwithout:\n%s", stripped, colourless.String())
		}
		if got, want := strings.Contains(colourful.String(), green+v.text+plain), v.status == valid; got != want {
			t.Errorf("%q is green: %v, want %v", v.text, got, want)
		}
		if got, want := strings.Contains(colourful.String(), red+v.text+plain), v.status == notValid; got != want {
			t.Errorf("%q is red: %v, want %v", v.text, got, want)
		}
	}
}

func FuzzOutputIsPrintable(f *testing.F) {
	for _, seed := range []string{visits3, "Cookie: a=" + counter3 + "; b=1", compress("{}") + ".ZVPxAA.AAAA", "-name=\x1b", encode([]byte(`{"\u001b":"`+"\u009b"+`"}`)) + ".AQ.AA", "--help"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		call(t, env{"SESSION_SECRET": secret}, "", text)
		call(t, nil, text, "-name", "a")
	})
}

// env is an environment.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// outcome is what a call of the command did.
type outcome struct {
	status         int
	stdout, stderr string
}

// call runs the command. It fails the test if the command prints a secret, or a character
// that acts on a terminal. Package flag may print tabs when it says how to call it.
func call(t *testing.T, environment env, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr strings.Builder
	status := run(args, environment.get, strings.NewReader(stdin), &stdout, &stderr)
	got := outcome{status, stdout.String(), stderr.String()}
	for _, text := range []string{got.stdout, got.stderr} {
		for secret := range maps.Values(environment) {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("printed %q, want no secret in it", text)
			}
		}
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) && !(r == '\t' && strings.HasPrefix(text, "usage: ")) {
				t.Fatalf("printed %q, want no %q in it", text, r)
			}
		}
	}
	return got
}

// must fails unless the call returned this status and printed exactly this.
func (o outcome) must(t *testing.T, status int, stdout string) {
	t.Helper()
	o.has(t, status)
	if o.stdout != stdout {
		t.Errorf("%s\nwant\n%s", o.stdout, stdout)
	}
}

// has fails unless the call returned this status and printed each of the texts.
func (o outcome) has(t *testing.T, status int, texts ...string) {
	t.Helper()
	if o.status != status {
		t.Errorf("status %d, want %d: %.2000s", o.status, status, o.stdout)
	}
	if o.stderr != "" {
		t.Errorf("on standard error %q, want nothing", o.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("%.2000s\nwant %.200q", o.stdout, text)
		}
	}
}

func (o outcome) hasNot(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(o.stdout, text) {
		t.Errorf("%s\nwant no %q", o.stdout, text)
	}
}

// fails fails unless the call returned this status and printed only a line with the
// reason.
func (o outcome) fails(t *testing.T, status int, reason string) {
	t.Helper()
	if o.status != status {
		t.Errorf("status %d, want %d", o.status, status)
	}
	if o.stdout != "" {
		t.Errorf("on standard output %.2000q, want nothing", o.stdout)
	}
	if !strings.Contains(o.stderr, reason) {
		t.Errorf("on standard error %q, want %q", o.stderr, reason)
	}
	if n := strings.Count(o.stderr, "\n"); n != 1 {
		t.Errorf("%d lines on standard error, want 1: %q", n, o.stderr)
	}
}

// json returns the session that was printed.
func (o outcome) json(t *testing.T) any {
	t.Helper()
	var shown any
	text := o.stdout[strings.Index(o.stdout, "\n{")+1:]
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&shown); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return shown
}

// sign returns the value of the cookie that a manager with these options sets.
func sign(t *testing.T, opts session.Options, values map[string]any) string {
	t.Helper()
	m, err := session.New([]byte(secret), &opts)
	if err != nil {
		t.Fatal(err)
	}
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	s, err := m.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		session.Key[any](name).Set(s, value)
	}
	if err := m.Save(w, r, s); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

func encode(part []byte) string {
	return base64.RawURLEncoding.EncodeToString(part)
}

// compress returns a payload as Flask compresses it.
func compress(payload string) string {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write([]byte(payload))
	w.Close()
	return "." + encode(out.Bytes())
}

// failing is an input that fails.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the plug was pulled") }
