package session

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	testSecret = []byte("0123456789abcdef0123456789abcdef")
	testNow    = time.Unix(1700000000, 0)
)

// Flask made the value, for this session, secret and second: see testdata/README.md.
func TestSignWritesWhatFlaskWrites(t *testing.T) {
	const want = "eyJ2aXNpdHMiOjF9.ZVPxAA.ACHNLcoUSqiw4WvPtKjM6qB03h6nY-vseTiLHgTNplA"
	if got := testSigner().sign([]byte(`{"visits":1}`), testNow); got != want {
		t.Errorf("sign = %s, want %s", got, want)
	}
}

func TestUnsignReturnsWhatWasSigned(t *testing.T) {
	s := testSigner()
	got, err := s.unsign(s.sign([]byte("hello"), testNow), testNow, time.Hour)
	want := signed{encoded: "aGVsbG8", at: testNow}
	if err != nil {
		t.Fatalf("unsign: %v, want nil", err)
	}
	if got != want {
		t.Errorf("unsign = %v, want %v", got, want)
	}
}

func TestUnsignRefuses(t *testing.T) {
	s := testSigner()
	value := s.sign([]byte(`{"visits":1}`), testNow)
	payload, rest, _ := strings.Cut(value, ".")
	timestamp, signature, _ := strings.Cut(rest, ".")
	other := s.sign([]byte(`{"admin":true}`), testNow)
	otherSecret := testSigner(bytes.Repeat([]byte("x"), 32))
	otherSalt := newSigner(sha256.New, "cookie-session.other", testSecret)
	otherHash := newSigner(sha1.New, "cookie-session", testSecret)

	for _, test := range []struct {
		name, value string
		want        error
	}{
		{"nothing", "", ErrMalformed},
		{"no dot", payload, ErrMalformed},
		{"a dot", ".", ErrSignature},
		{"two dots", "..", ErrSignature},
		{"three dots", "...", ErrSignature},
		{"payload and timestamp only", payload + "." + timestamp, ErrSignature},
		{"empty signature", payload + "." + timestamp + ".", ErrSignature},
		{"empty payload", "." + timestamp + "." + signature, ErrSignature},
		{"payload and timestamp swapped", timestamp + "." + payload + "." + signature, ErrSignature},
		{"signature first", signature + "." + timestamp + "." + payload, ErrSignature},
		{"another value's payload", strings.Split(other, ".")[0] + "." + rest, ErrSignature},
		{"padded", value + "=", ErrSignature},
		{"a line end after it", value + "\n", ErrSignature},
		{"a line end in it", payload[:4] + "\r\n" + payload[4:] + "." + rest, ErrSignature},
		{"a space before it", " " + value, ErrSignature},
		{"another secret", otherSecret.sign([]byte(`{"visits":1}`), testNow), ErrSignature},
		{"another salt", otherSalt.sign([]byte(`{"visits":1}`), testNow), ErrSignature},
		{"another hash", otherHash.sign([]byte(`{"visits":1}`), testNow), ErrSignature},
		{"longer than browsers allow", strings.Repeat("A", maxCookie+1), ErrTooLarge},
		{"as long as browsers allow", strings.Repeat("A", maxCookie-1) + ".", ErrSignature},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := s.unsign(test.value, testNow, time.Hour); !errors.Is(err, test.want) {
				t.Errorf("unsign: %v, want %v", err, test.want)
			}
		})
	}
}

// These timestamps have a valid signature. Without one, a value is refused before
// unsign looks at its timestamp.
func TestUnsignRefusesSignedTimestamps(t *testing.T) {
	s := testSigner()
	sign := func(timestamp []byte) string {
		message := base64url.AppendEncode([]byte("e30."), timestamp)
		return string(message) + "." + string(signatureOf(message, s.macs[0]))
	}
	at := func(seconds uint64) []byte {
		return bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, seconds), "\x00")
	}
	now, hour := uint64(testNow.Unix()), uint64(3600)
	for _, test := range []struct {
		name      string
		timestamp []byte
		want      error
	}{
		{"now", at(now), nil},
		{"as old as may be", at(now - hour), nil},
		{"a second older", at(now - hour - 1), ErrExpired},
		{"forty days old", at(now - 40*24*hour), ErrExpired},
		{"1970", at(1), ErrExpired},
		{"a minute ahead", at(now + 60), nil},
		{"a second more", at(now + 61), ErrExpired},
		{"the year 9999", at(253402300799), ErrExpired},
		{"2^64 nanoseconds ahead, where a Duration wraps", at(now + 18446744074), ErrExpired},
		{"2^63 nanoseconds ahead", at(now + 9223372037), ErrExpired},
		{"five bytes of ones", at(1<<40 - 1), ErrExpired},
		{"six bytes", at(1 << 40), ErrMalformed},
		{"the largest int64", at(math.MaxInt64), ErrMalformed},
		{"over the largest int64", at(math.MaxInt64 + 1), ErrMalformed},
		{"eight bytes of ones", at(math.MaxUint64), ErrMalformed},
		{"nine bytes", append([]byte{1}, at(math.MaxUint64)...), ErrMalformed},
		{"none", nil, ErrMalformed},
		{"a zero byte before it", append([]byte{0}, at(now)...), ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := s.unsign(sign(test.timestamp), testNow, time.Hour); !errors.Is(err, test.want) {
				t.Errorf("unsign: %v, want %v", err, test.want)
			}
		})
	}

	// Every five-byte timestamp is ahead of the clock, until 2106.
	for ahead := uint64(1) << 32; ahead < 1<<40; ahead += 9_876_543_21 {
		if _, err := s.unsign(sign(at(ahead)), testNow, time.Hour); !errors.Is(err, ErrExpired) {
			t.Fatalf("unsign at %d: %v, want ErrExpired", ahead, err)
		}
	}

	spelled := func(timestamp string) string {
		return "e30." + timestamp + "." + string(signatureOf([]byte("e30."+timestamp), s.macs[0]))
	}
	for _, timestamp := range []string{"ZVPxAB", "ZVPxAA==", "ZVPx\nAA", "ZVPxAA\r\n", "Z!", "ZVPxA"} {
		if _, err := s.unsign(spelled(timestamp), testNow, time.Hour); !errors.Is(err, ErrMalformed) {
			t.Errorf("timestamp spelled %q: %v, want ErrMalformed", timestamp, err)
		}
	}
	message := []byte("e30")
	value := "e30." + string(signatureOf(message, s.macs[0]))
	if _, err := s.unsign(value, testNow, time.Hour); !errors.Is(err, ErrMalformed) {
		t.Errorf("no timestamp at all: %v, want ErrMalformed", err)
	}
}

// A mutant is a valid value after one edit. For several payloads, unsign refuses every
// mutant there is. A test of some of them would save seconds and prove less.
func TestUnsignRefusesEveryMutant(t *testing.T) {
	s := testSigner()
	tried := 0
	refuse := func(value, mutant string) {
		tried++
		if _, err := s.unsign(mutant, testNow, time.Hour); err == nil && mutant != value {
			t.Errorf("accepted %q, made from %q", mutant, value)
		}
	}
	for size := range 12 {
		payload := `{"k":"` + strings.Repeat("v", size*size) + `"}`
		value := s.sign([]byte(payload), testNow)
		for i := range value {
			for c := range 256 {
				b := string([]byte{byte(c)})
				refuse(value, value[:i]+b+value[i+1:])
				refuse(value, value[:i]+b+value[i:])
			}
			refuse(value, value[:i]+value[i+1:])
			refuse(value, value[:i])
			refuse(value, value[i+1:])
			for j := range i {
				swapped := []byte(value)
				swapped[i], swapped[j] = swapped[j], swapped[i]
				refuse(value, string(swapped))
			}
		}
		for c := range 256 {
			for _, suffix := range []string{"", "=", "\n", "\r\n", ".", " "} {
				refuse(value, value+string([]byte{byte(c)})+suffix)
			}
		}
	}
	if tried < 400_000 {
		t.Errorf("tried %d mutants, want 400,000 or more", tried)
	}
}

// Of the mutants with several edits the test takes random ones, always the same.
// .ci/torture runs it with MUTANTS=10000000.
func TestUnsignRefusesRandomEdits(t *testing.T) {
	mutants := 50_000
	if n, err := strconv.Atoi(os.Getenv("MUTANTS")); err == nil {
		mutants = n
	}
	s := testSigner()
	value := s.sign([]byte(`{"visits":1}`), testNow)
	random := rand.New(rand.NewPCG(1, 2))
	for range mutants {
		mutant := []byte(value)
		for range 2 + random.IntN(4) {
			mutant[random.IntN(len(mutant))] ^= byte(1 + random.IntN(255))
		}
		if string(mutant) == value {
			continue
		}
		if _, err := s.unsign(string(mutant), testNow, time.Hour); err == nil {
			t.Fatalf("accepted %q", mutant)
		}
	}
}

func TestOldSecretsOpenAndNeverSign(t *testing.T) {
	a, b, c := bytes.Repeat([]byte("a"), 32), bytes.Repeat([]byte("b"), 32), bytes.Repeat([]byte("c"), 32)
	for _, secrets := range [][][]byte{{a, b, c}, {a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}} {
		s := testSigner(secrets...)
		value := s.sign([]byte("{}"), testNow)
		if _, err := testSigner(secrets[0]).unsign(value, testNow, time.Hour); err != nil {
			t.Errorf("unsign with the first secret alone: %v, want nil", err)
		}
		if _, err := testSigner(secrets[1:]...).unsign(value, testNow, time.Hour); !errors.Is(err, ErrSignature) {
			t.Errorf("unsign with the old secrets alone: %v, want ErrSignature", err)
		}
		for i, secret := range secrets {
			got, err := s.unsign(testSigner(secret).sign([]byte("{}"), testNow), testNow, time.Hour)
			if err != nil {
				t.Errorf("secret %d: %v, want nil", i, err)
			}
			if want := i > 0; got.old != want {
				t.Errorf("secret %d: old = %t, want %t", i, got.old, want)
			}
		}
	}
}

func TestDifferentSaltsMakeDifferentSignatures(t *testing.T) {
	seen := make(map[string]string)
	for _, salt := range []string{"cookie-session", "cookie-session.a", "cookie-session.ab", "cookie-session.b", "session-id", ""} {
		value := newSigner(sha256.New, salt, testSecret).sign([]byte("{}"), testNow)
		if other, ok := seen[value]; ok {
			t.Errorf("salts %q and %q sign alike", salt, other)
		}
		seen[value] = salt
	}
}

func TestSecretFromEnvReturnsTheVariableAsItIs(t *testing.T) {
	t.Setenv("TEST_SECRET", " as it is\n")
	got, err := SecretFromEnv("TEST_SECRET")
	if err != nil {
		t.Fatalf("SecretFromEnv: %v, want nil", err)
	}
	if want := " as it is\n"; string(got) != want {
		t.Errorf("SecretFromEnv = %q, want %q", got, want)
	}
	t.Setenv("TEST_SECRET", "")
	for _, name := range []string{"TEST_SECRET", "TEST_SECRET_THAT_IS_NOT_SET"} {
		got, err := SecretFromEnv(name)
		if !errors.Is(err, ErrNoSecret) {
			t.Errorf("SecretFromEnv(%s): %v, want ErrNoSecret", name, err)
		}
		if got != nil {
			t.Errorf("SecretFromEnv(%s) = %q, want nil", name, got)
		}
	}
}

func TestNewSecretIsNewAndLongEnough(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	for _, secret := range [][]byte{a, b} {
		if got := len(secret); got != 32 {
			t.Errorf("NewSecret made %d bytes, want 32", got)
		}
	}
	if bytes.Equal(a, b) {
		t.Error("NewSecret made one secret twice")
	}
}

func FuzzUnsign(f *testing.F) {
	s := testSigner()
	value := s.sign([]byte(`{"visits":1}`), testNow)
	for _, seed := range []string{value, value + "=", value[:len(value)-1], "..", ".eJw.ZVPxAA.x", "e30.ZVPxAA.", "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, mutant string) {
		if _, err := s.unsign(mutant, testNow, time.Hour); err == nil && mutant != value {
			t.Errorf("accepted %q", mutant)
		}
		if parts, err := Inspect(mutant); err == nil && strings.Count(mutant, ".") < 2 {
			t.Errorf("Inspect found %v in %q", parts, mutant)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := testSigner()
	payload := []byte(`{"cart":{"1":2,"3":1},"logged_in":true,"username":"john_doe","visits":41}`)
	b.ReportAllocs()
	for b.Loop() {
		s.sign(payload, testNow)
	}
}

func BenchmarkUnsign(b *testing.B) {
	s := testSigner()
	value := s.sign([]byte(`{"cart":{"1":2,"3":1},"logged_in":true,"username":"john_doe","visits":41}`), testNow)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.unsign(value, testNow, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

// testSigner returns the signer of a manager with these secrets, or testSecret.
func testSigner(secrets ...[]byte) *signer {
	if len(secrets) == 0 {
		secrets = [][]byte{testSecret}
	}
	s := newSigner(sha256.New, "cookie-session", secrets...)
	s.maxSize = maxCookie
	return s
}
