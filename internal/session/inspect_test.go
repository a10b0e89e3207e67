package session_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestInspectNeedsNoSecret(t *testing.T) {
	signedAt := time.Unix(1700000000, 0)
	for _, payload := range []string{`{"visits":3}`, "no JSON at all"} {
		t.Run(payload, func(t *testing.T) {
			value := mint(payload, signedAt)
			parts, err := session.Inspect(value)
			if err != nil {
				t.Fatalf("Inspect: %v, want nil", err)
			}
			if got := string(parts.Payload); got != payload {
				t.Errorf("payload %q, want %q", got, payload)
			}
			if !parts.SignedAt.Equal(signedAt) {
				t.Errorf("signed at %v, want %v", parts.SignedAt, signedAt)
			}
			if !strings.HasSuffix(value, "."+parts.Signature) {
				t.Errorf("signature %q, want that of %s", parts.Signature, value)
			}
		})
	}
}

func TestInspectRefusesWhatIsNotThreeParts(t *testing.T) {
	for _, value := range []string{"", "e30", "e30.ZVPxAA", "e30..", "e3=.ZVPxAA.AAAA", "e30.ZVPxAA.", ".ZVPxAA.", "e30.Z.AAAA", "e30.ZVPxAA.A=", ".e30.ZVPxAA.AAAA"} {
		t.Run("<"+value+">", func(t *testing.T) {
			if parts, err := session.Inspect(value); !errors.Is(err, session.ErrMalformed) {
				t.Errorf("Inspect = %v, %v, want ErrMalformed", parts, err)
			}
		})
	}
}

func TestVerifyChecksTheSignatureAndNotTheAge(t *testing.T) {
	m := newManager(t, session.Options{Lifetime: time.Hour})
	old := mint("{}", time.Unix(1_000_000_000, 0))
	for _, test := range []struct {
		name  string
		value func(signed string) string
		want  error
	}{
		{"old", func(signed string) string { return signed }, nil},
		{"from Flask, and older", func(string) string { return old }, nil},
		{"a byte after it", func(signed string) string { return signed + "x" }, session.ErrSignature},
		{"a byte before it", func(signed string) string { return "x" + signed }, session.ErrSignature},
		{"nothing", func(string) string { return "" }, session.ErrMalformed},
		{"5000 bytes", func(string) string { return strings.Repeat("x", 5000) }, session.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signed := strings.TrimPrefix(signedIn(t, m), "session=")
				time.Sleep(1000 * time.Hour)
				if err := m.Verify(test.value(signed)); !errors.Is(err, test.want) {
					t.Errorf("Verify: %v, want %v", err, test.want)
				}
			})
		})
	}
}

func TestNameSeparatesCookies(t *testing.T) {
	a, b := newManager(t, session.Options{Name: "a"}), newManager(t, session.Options{Name: "b"})
	if err := b.Verify(strings.TrimPrefix(signedIn(t, a), "a=")); !errors.Is(err, session.ErrSignature) {
		t.Errorf("b verifies the cookie of a: %v, want ErrSignature", err)
	}
	flask := newManager(t, session.Options{Name: "a", Salt: "cookie-session"})
	if err := flask.Verify(mint("{}", time.Now())); err != nil {
		t.Errorf("with Flask's salt: %v, want nil", err)
	}
}
